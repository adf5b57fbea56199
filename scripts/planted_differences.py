"""The self-test of scripts/same_programs: does the comparison see what is planted, and nothing where only names differ?"""

import json
import re
import shutil
import struct
import sys
from pathlib import Path

from canonical_files import Program, differences
from program_comparison import FORMATS, SCRATCH, Row, compare_exports, compare_programs, logits, make
from program_runs import print_table


def rewritten(path, target, change=None, rename=None):
    """A copy of a program; `change` gets its graph, `rename` gives new names to everything."""
    program = Program(path)
    graph = program.graph
    order = list(program.header)
    if rename:
        order.reverse()
        for items in (graph["tensors"], graph["constants"], graph["caches"], graph["operations"]):
            for item in items:
                item["name"] = rename(item["name"])
        for operation in graph["operations"]:
            for key, value in operation.items():
                if isinstance(value, str) and value in program.header:
                    operation[key] = rename(value)
        for cache in graph["caches"]:
            cache["prefix"] = cache["prefix"] and rename(cache["prefix"])
        graph["constants"].sort(key=lambda constant: constant["name"])
    if change:
        change(graph)
    header, data = {"__metadata__": program.metadata | {"dyad.graph": json.dumps(graph)}}, b""
    for name in order:
        held = program.content[slice(*program.range(name))]
        header[rename(name) if rename else name] = program.header[name] | {"data_offsets": [len(data), len(data) + len(held)]}
        data += held
    text = json.dumps(header).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return target


def self_test(side):
    """Renamed copies must be equal, and every planted difference must be seen; ends the script otherwise."""
    folder = SCRATCH / "self-test"
    row = Row("plain", "static-w4a8")
    _, figures, refusals = make(row, side, folder / "original")
    original = folder / "original/program.dyad"
    failures = [f"{name} was not exported: {said}" for name, said in refusals.items()]
    lines = []

    def expect(what, found, columns):
        seen = {difference[0] for difference in found}
        lines.append([what, ", ".join(sorted(seen)) or "equal"])
        if seen != set(columns):
            failures.append(f"{what}: {seen or 'nothing'} seen, {columns or 'nothing'} expected: {found[:3]}")

    def export(program):
        for name in FORMATS:
            side.document(program.parent, "export", program.name, "--format", name, "--output", name, "--context", 64, "--chunk", 16)

    def examine(program, columns, what):
        export(program)
        found = compare_programs(original, program)
        found += [("logits", *difference) for difference in differences(figures, logits(row.model, side, program))]
        for name in FORMATS:
            found += compare_exports((original.parent / name, original), (program.parent / name, program))
        expect(what, found, columns)

    # Names that say what the old ones said, since exporters still read them, in another order of constants.
    def rename(name):
        return name.replace("_proj", "_projection").replace("input_layernorm", "first_norm").replace("product", "gated")
    examine(rewritten(original, folder / "renamed/program.dyad", rename=rename), [], "other names")

    def scale(graph):
        tensor = next(tensor for tensor in graph["tensors"] if tensor["name"].endswith("1.mlp.up_proj.output"))
        tensor["scale"] = struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", tensor["scale"]))[0] + 4096))[0]
    examine(rewritten(original, folder / "scale/program.dyad", change=scale), ["graph", "logits", "exports"], "a scale, 1/2000 larger")

    def operands(graph):
        operation = next(operation for operation in graph["operations"] if operation["name"].endswith("1.mlp.product"))
        operation["left"], operation["right"] = operation["right"], operation["left"]
    expect("two operands exchanged", compare_programs(original, rewritten(original, folder / "operands/program.dyad", change=operands)), ["graph"])

    def sign(graph):
        operation = next(operation for operation in graph["operations"] if operation["kind"] == "hadamard")
        operation["base"] = [row.replace("+", "-") for row in operation["base"]]
    expect("other signs of a Hadamard", compare_programs(original, rewritten(original, folder / "sign/program.dyad", change=sign)), ["graph"])

    def spell(tree):
        if isinstance(tree, dict):
            return {re.sub("_(.)", lambda match: match[1].upper(), key): spell(value) for key, value in tree.items()}
        return [spell(value) for value in tree] if isinstance(tree, list) else tree

    def spelling(graph):
        spelled = spell(graph)
        graph.clear()
        graph.update(spelled)
    expect("keys in camel case", compare_programs(original, rewritten(original, folder / "spelling/program.dyad", change=spelling)), [])

    def prefix(graph):
        graph["prefix_tokens"][0] ^= 1
    expect("another prefix token", compare_programs(original, rewritten(original, folder / "prefix/program.dyad", change=prefix)), ["graph"])

    # One step of single weights of the head, for tokens that the text does not hold as well: each must show in the digits.
    program = Program(original)
    begin, end = program.range("lm_head.weight")
    for number in range(4):
        content = bytearray(program.content)
        place = begin + (end - begin) * (2 * number + 1) // 8
        content[place] ^= 1
        target = folder / f"byte{number}/program.dyad"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        examine(target, ["constants", "logits", "exports"], f"one bit of constant byte {place - begin} of the head")

    # In the exported files themselves.
    planted = {"onnx": [("decode.onnx", b"\x22\x03Mul", b"\x22\x03Sub"), ("weights.bin", None, None)],
               "litert": [("prefill.tflite", None, None)],
               "coreml": [("decode.mlpackage/Data/com.apple.CoreML/model.mlmodel", b"\x0a\x03mul", b"\x0a\x03sub"),
                          ("prefill.mlpackage/Data/com.apple.CoreML/weights/weight.bin", None, None)]}
    for name, plants in planted.items():
        for number, (file, old, new) in enumerate(plants):
            copy = folder / f"planted{number}" / name
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(original.parent / name, copy)
            content = (copy / file).read_bytes()
            place = content.find(old) if old else len(content) // 2
            if place < 0:
                failures.append(f"{file} holds no {old}")
                continue
            content = content[:place] + (new or bytes([content[place] ^ 1])) + content[place + len(old or b" "):]
            (copy / file).write_bytes(content)
            what = f"{name}: {old[2:].decode()} for {new[2:].decode()}" if old else f"{name}: one bit of {Path(file).name}"
            expect(what, compare_exports((original.parent / name, original), (copy, original)), ["exports"])
    print_table(["planted", "seen in"], lines)
    for failure in failures:
        print(f"same_programs: self-test: {failure}", file=sys.stderr)
    print(f"same_programs: self-test: {len(lines)} cases, {len(failures)} failures")
    sys.exit(1 if failures else 0)
