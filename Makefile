# What a developer types. scripts/ holds the logic; this file only names it.
SWIFT ?= swift
# Tests are built in a folder of their own: -enable-testing would make every other build start over. So would `swift test` that builds
# (it has flags that `swift build` has not), which is why it never does.
TEST_FLAGS = -c release -Xswiftc -enable-testing --scratch-path .build-test
FORMATTED = Sources Tests Package.swift Fuzz/Package.swift Fuzz/Sources/dyad-fuzz
MINUTES = 5
DOCC = $(dir $(realpath $(shell command -v $(SWIFT))))docc

.PHONY: setup build test demo accuracy results tasks test-npu test-npu-block benchmark integer-only same-programs fuzz sanitize format lint docs docs-symbols check-guides fixtures clean

setup: ## fetch libtorch and the demonstration model into .deps
	scripts/setup

build: setup ## the release build: .build/release/dyad
	$(SWIFT) build -c release

test: setup ## in release (FILTER=NameOfSuite: some of them): scalar Swift is 30 times slower in debug
	$(SWIFT) build --build-tests $(TEST_FLAGS)
	$(SWIFT) test --skip-build $(TEST_FLAGS) $(if $(FILTER),--filter $(FILTER))
	@echo "make test: all tests passed"

demo: build ## quantise SmolLM2 twice, measure it, ask it something
	scripts/demo

accuracy: build ## perplexity ratios against the targets (needs the evaluation texts)
	scripts/accuracy

results: build ## the table of all pipelines, row by row (hours; resumable; needs the evaluation data)
	scripts/results

tasks: build ## zero-shot tasks of the programs in out/ (an hour; needs the evaluation data)
	scripts/tasks $(wildcard out/dyad-*.dyad)

benchmark: build ## speed of the programs in out/, medians of alternating runs
	scripts/benchmark

test-npu: build ## the programs of `make demo` in the vendors' libraries (needs the evaluation texts)
	scripts/npu
	scripts/test_npu

test-npu-block: build ## one block of a hasty program in the vendors' libraries
	scripts/npu
	scripts/test_npu --one-block

integer-only: build ## no floating-point arithmetic in kernels and operations
	scripts/check_integer_only --self-test
	scripts/check_integer_only --build .build/release

same-programs: setup ## the programs of another commit and of this checkout: make same-programs PARENT=main [EXCEPTIONS=FILE]
	scripts/same_programs $(PARENT) $(if $(EXCEPTIONS),--exceptions $(EXCEPTIONS))

fuzz: ## every fuzzer for so long: make fuzz MINUTES=15
	scripts/fuzz --minutes $(MINUTES)

sanitize: ## kernels and thread pool under address, undefined-behaviour and thread sanitizers
	scripts/sanitize_kernels

format:
	$(SWIFT) format --in-place --recursive $(FORMATTED)

lint:
	$(SWIFT) format lint --strict --recursive $(FORMATTED)
	scripts/check_manifest

docs: ## the DocC pages, into .build/docs
	@mkdir -p .build
	$(DOCC) convert docs/Dyad.docc --warnings-as-errors --output-path .build/docs

docs-symbols: build ## the same with a page for every public symbol
	scripts/symbol_pages

check-guides: build ## the form of pages and files, and every command of README and the guides, on a tiny model
	scripts/check_guides

fixtures: ## write the golden files of the tests again
	scripts/fixtures/all

clean: ## everything built; .deps and out stay
	rm -rf .build .build-*
