import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Foundation
import Testing

@testable import DyadEvaluation
@testable import DyadTargets
@testable import DyadExport

/// What a comparison with a vendor's library says of itself; the libraries themselves run in `make test-npu`.
@Suite struct TargetVerificationTests {
    private static func row(
        _ part: String, _ tensor: String, bits: Int = 8, values: Int, largest: Double, mean: Double, near: Double
    ) -> TargetVerification.Row {
        .init(
            part: part, tensor: tensor, tokens: 4, bits: bits, values: values, maximumSteps: largest, meanSteps: mean,
            withinTwoSteps: near, isOutput: false, withinOneCoarseStep: near,
            signalToNoise: 30)
    }

    private static let verification = TargetVerification(
        library: .sm8650, versions: ["onnxruntime-qnn": "1.2.3"],
        rows: [
            row("layers.0", "a<b>", values: 100, largest: 1, mean: 0.1, near: 1),
            row("layers.0", "c", values: 300, largest: 5, mean: 0.5, near: 0.9),
            row("layers.0", "wide", bits: 16, values: 300, largest: 500, mean: 50, near: 0.1),
            row("layers.1", "d", values: 10, largest: 2, mean: 0.2, near: 1),
        ])

    /// By hand: (100·1 + 300·0.9)/400 = 0.925 and (100·0.1 + 300·0.5)/400 = 0.4; 16-bit tensors do not count.
    @Test func aLayerIsItsEightBitTensorsTogether() throws {
        let layers = Self.verification.layers
        #expect(layers.map(\.part) == ["layers.0", "layers.1"])
        #expect(abs(layers[0].withinTwoSteps - 0.925) < 1e-12)
        #expect(abs(layers[0].meanSteps - 0.4) < 1e-12)
        #expect(layers[0].maximumSteps == 5)
        #expect(Self.verification.maximumSteps == 5)
        #expect(abs(Self.verification.withinTwoSteps - 0.925) < 1e-12)
    }

    /// 63 of 64 positions of a chunk, and all of 8 single steps.
    @Test func theHeadsBestTokensAreCounted() throws {
        var verification = Self.verification
        #expect(verification.headAgreement == nil && verification.json().object?["head_argmax_agreement"] == nil)
        for (tokens, equal) in [(64, 63), (8, 8)] {
            var logits = Self.row("head", "logits", bits: 16, values: tokens * 5, largest: 9, mean: 2, near: 0.6)
            logits.bestTokens = (tokens, equal)
            verification.rows.append(logits)
        }
        #expect(verification.headAgreement == 71.0 / 72)
        #expect(verification.json().object?["head_argmax_agreement"] == .measured(71.0 / 72))
    }

    @Test func theDocumentHasTheKeysThatToolsReadAndThePageEscapesNames() throws {
        let object = try #require(Self.verification.json().object)
        for key in ["against", "max_lsb", "within_two_lsb", "sqnr_db", "cpu_fallback", "layers", "rows"] {
            #expect(object[key] != nil, "\(key)")
        }
        #expect(object["argmax_agreement"] == nil)
        // Only a QNN session can rule a fallback out; a CPU has none to fall back to.
        #expect(object["cpu_fallback"] == .bool(false))
        var plain = Self.verification
        plain.library = .onnxruntime
        #expect(plain.json().object?["cpu_fallback"] == .null)
        #expect(!Self.verification.page(of: "x.dyad").contains("by itself"))
        var explained = Self.verification
        explained.rows[0].explanation = .init(
            exportMeanSteps: 0.1234, targetMeanSteps: 0.5678, unexplainedMeanSteps: 0.0091)
        explained.exported = ExportedRun(
            files: ["decode.sm8650.onnx"], prefilled: 6, steps: 2, positions: 4, equalBestTokens: 3, signalToNoise: 21.5
        )
        let whole = explained.page(of: "x.dyad")
        for text in ["by itself", "0.1234", "0.5678", "0.0091", "3 of 4", "decode.sm8650.onnx"] {
            #expect(whole.contains(text), "\(text)")
        }
        let page = Self.verification.page(of: "x.dyad")
        #expect(page.contains("a&lt;b&gt;") && !page.contains("a<b>"))
        #expect(page.contains("onnxruntime-qnn 1.2.3"))
    }

    @Test func chainedFiguresAreWhatWasMeasured() throws {
        var verification = Self.verification
        verification.integer = PerplexityResult(model: "integer", context: 4, windowMeans: [log(10)])
        verification.target = PerplexityResult(model: "qnn", context: 4, windowMeans: [log(11)])
        verification.exported = ExportedRun(
            files: ["decode.sm8650.onnx"], prefilled: 6, steps: 2, positions: 4, equalBestTokens: 3, signalToNoise: 21.5
        )
        let object = try #require(verification.json().object)
        for (key, value) in [("integer_perplexity", 10.0), ("target_perplexity", 11), ("perplexity_ratio", 1.1)] {
            #expect(abs(try #require(object[key]?.double) - value) < 1e-9, "\(key)")
        }
        let run = try #require(object["exported_run"]?.object)
        #expect(run["argmax_agreement"]?.double == 0.75 && run["sqnr_db"]?.double == 21.5)
        #expect(run["prefilled_tokens"]?.integer == 6 && run["single_steps"]?.integer == 2)
        #expect(run["files"]?.array?.compactMap(\.string) == ["decode.sm8650.onnx"])
    }

    /// A target that does nothing otherwise than dropping low bits is explained by that, tensor by tensor; the integer graph is not touched.
    @Test func whatDropsLowBitsIsExplained() throws {
        var shape = DecoderShape()
        (shape.layers, shape.hasHadamard, shape.hidden, shape.intermediate) = (1, true, 64, 384)
        let program = shape.program(seed: 3)
        let tokens = (0..<32).map { Int32($0) }
        let observed = try TargetVerification.Observation(program, tokens: tokens, start: 0, count: 32)
        let extents = StaticShape(tokens: 32, context: 32)
        let folder = NSTemporaryDirectory() + "dyad-part-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (_, graph) = try TargetLibrary.sm8650.write(
            ProgramPart(embeds: false, layers: 0..<1, hasHead: false), of: program, shape: extents, observing: true,
            to: folder)
        let inputs = try observed.inputs(of: graph, program, extents)
        var target = StaticInterpreter(graph, dropsLowBits: true)
        let made = target.run(Dictionary(uniqueKeysWithValues: inputs.map { ($0.name, $0.bytes) }))
        var outputs: [String: [UInt8]] = [:]
        for id in graph.outputs {
            let value = graph.values[id]
            let width = try #require(value.type.integerType).bitWidth / 8
            outputs[value.name] = made[value.name]?.flatMap { number in
                (0..<width).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
            }
        }
        let models = TargetVerification.modelled(program, graph, inputs, observed.tensors, outputs, .sm8650)
        var largest = 0.0
        for id in graph.outputs {
            let value = graph.values[id]
            guard let tensor = program.graph.tensors.first(where: { $0.name == value.name }),
                let expected = observed.tensors[value.name], let model = models[value.name]
            else { continue }
            let found = value.integers(try #require(outputs[value.name]))
            let explanation = try #require(
                TargetVerification.explanation(tensor, expected, value, found, model, .sm8650))
            #expect(explanation.unexplainedMeanSteps == 0, "\(value.name)")
            largest = max(largest, explanation.targetMeanSteps)
            if value.name == "layers.0.mlp.down_proj.output" { #expect(explanation.exportMeanSteps < 0.01) }
        }
        #expect(largest > 0)
    }

    /// A target that is the integer graph itself writes the same; one of other weights differs, and a text is the same only as a whole.
    @Test func greedyTextsAreCountedTokenByToken() throws {
        var shape = DecoderShape()
        shape.layers = 1
        let program = shape.program(seed: 3)
        let integer = try IntegerModel(program, name: "integer")
        let session = try Runtime(program: program).makeSession()
        let texts = try [[1, 2, 3], [7]].map { prompt throws(DyadError) in
            try GreedyAgreement.Text(prompt, count: 5, ends: [], session: session)
        }
        #expect(texts.map(\.tokens.count) == [7, 5])
        var same = GreedyAgreement(prompts: 0, positions: 0, equal: 0, identical: 0), other = same
        let stranger = try IntegerModel(shape.program(seed: 4), name: "other")
        for text in texts {
            try same.add(text, integer: integer, target: integer, length: 8)
            try other.add(text, integer: integer, target: stranger, length: 8)
        }
        #expect(same == GreedyAgreement(prompts: 2, positions: 10, equal: 10, identical: 2))
        #expect(other.positions == 10 && other.equal < 10 && other.identical < 2)
        // An end that is chosen at once: one choice, and nothing behind the prompt.
        let first = try session.prefill([7]).indexOfLargest.map(Int32.init)
        session.reset()
        let ended = try GreedyAgreement.Text([7], count: 5, ends: Set([first].compactMap { $0 }), session: session)
        #expect(ended.tokens == [7])
    }

    /// That a folder is for something else is said before anything runs.
    @Test func aFolderOfAnotherTargetIsRefused() throws {
        var shape = DecoderShape()
        shape.layers = 1
        let program = shape.program(seed: 2)
        let folder = NSTemporaryDirectory() + "dyad-folder-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        _ = try ONNXExporter(ExportPlan(target: .sm8650, context: 8, chunk: nil)).export(
            program, from: ExportSource(name: "tiny.dyad", sha256: "ab"), to: folder)
        var options = TargetVerification.Options()
        options.exported = folder
        let error = #expect(throws: DyadError.self) {
            _ = try TargetVerification.run(program, against: .onnxruntime, tokens: [1, 2, 3, 4], options: options)
        }
        #expect(error?.reason == .mismatch && error?.subject == "target")
    }

    /// A worker that dies is an error that says how, with its last words.
    @Test(arguments: [("kill -9 $$", "signal 9", "memory"), ("exit 3", "ended with 3", "scripts/npu")])
    func aWorkerThatDiesSaysHow(end: String, found: String, remedy: String) throws {
        let folder = NSTemporaryDirectory() + "dyad-python-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let python = folder + "/python"
        try "#!/bin/sh\nread line\necho out of luck >&2\n\(end)\n".write(
            toFile: python, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: python)
        let worker = try TargetWorker(TargetLibrary.onnxruntime.worker, interpreter: python)
        let error = #expect(throws: DyadError.self) { try worker.load("/nowhere.onnx") }
        #expect(error?.found.contains(found) == true && error?.found.contains("out of luck") == true)
        #expect(error?.remedy.contains(remedy) == true)
    }

    /// A Python that is not there, and one without the packages, are errors that say what to install.
    @Test func aMissingPackageIsNamed() throws {
        let folder = NSTemporaryDirectory() + "dyad-python-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // A Python that sees no installed package.
        let python = folder + "/python"
        try "#!/bin/sh\nexec python3 -S -I \"$@\"\n".write(toFile: python, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: python)
        for (interpreter, reason) in [(python, DyadError.Reason.missing), (folder + "/none", .failed)] {
            let worker = try TargetWorker(TargetLibrary.onnxruntime.worker, interpreter: interpreter)
            let error = #expect(throws: DyadError.self) { try worker.load("/nowhere.onnx") }
            #expect(error?.reason == reason)
            #expect(error?.remedy.contains("scripts/npu") == true)
        }
    }

    /// What a process left that was killed goes; what belongs to a living one, or to something else, stays.
    @Test func foldersOfProcessesThatAreNoMoreAreRemoved() throws {
        let parent = NSTemporaryDirectory() + "dyad-scratches-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: parent) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "exit 0"]
        try process.run()
        process.waitUntilExit()
        let dead = "dyad-scratch-\(process.processIdentifier)-7"
        let others = ["dyad-scratch-\(getpid())-7", "dyad-scratch-0-7", "dyad-scratch-x-7", "dyad-scratch-", "other"]
        for name in [dead] + others {
            try FileManager.default.createDirectory(
                atPath: "\(parent)/\(name)/graph", withIntermediateDirectories: true)
        }
        var scratch: ScratchFolder? = try ScratchFolder(in: parent)
        let path = try #require(scratch?.path)
        #expect(FileManager.default.fileExists(atPath: path))
        // An export into the folder takes its lock.
        #expect(throws: Never.self) { _ = try FolderLock(path) }
        #expect(!FileManager.default.fileExists(atPath: "\(parent)/\(dead)"))
        for name in others { #expect(FileManager.default.fileExists(atPath: "\(parent)/\(name)"), "\(name)") }
        // As of a process in another container: its number is nobody's here, and its lock is held.
        let foreign = "\(parent)/\(dead)"
        try FileManager.default.createDirectory(atPath: foreign, withIntermediateDirectories: true)
        let held = open(foreign, O_RDONLY)
        defer { close(held) }
        #expect(flock(held, LOCK_EX) == 0)
        _ = try ScratchFolder(in: parent)
        #expect(FileManager.default.fileExists(atPath: foreign))
        scratch = nil
        let left = try FileManager.default.contentsOfDirectory(atPath: parent)
        #expect(Set(left) == Set(others + [dead]))
    }

    /// An exported tensor with another scale is compared by what it means, but for what both cut off; one with a factor folded in is not
    /// another.
    @Test func integersAreComparedByWhatTheyMean() throws {
        let tensor = GraphTensor(
            name: "s", shape: [.tokens, .fixed(4)], type: .u16, encoding: Encoding(scale: 0.5, zeroPoint: 32768))
        func value(_ type: IntegerType, _ encoding: Encoding) -> StaticGraph.Value {
            .init(name: "s", shape: [1, 4], type: .quantized(type, encoding), constant: nil)
        }
        func steps(_ value: StaticGraph.Value, _ found: [Int32], factor: Float = 1) -> Double {
            TargetVerification.row(
                tensor, [0, 32768, 32778, 65535], value, found, factor: factor, part: "", tokens: 1
            ).maximumSteps
        }
        let coarse = value(.u16, Encoding(scale: 1, zeroPoint: 32768))
        // 10 steps of 0.5 are 5 of 1; both masks are the lowest integer, however low.
        #expect(steps(coarse, [0, 32768, 32773, 65535]) == 0)
        #expect(steps(coarse, [0, 32768, 32778, 65535]) == 5)
        let folded = value(.i16, Encoding(scale: 0.0625, zeroPoint: 0))
        #expect(steps(folded, [-32768, 0, 10, 32767], factor: 0.125) == 0)
        #expect(steps(folded, [-32768, 0, 11, 32767], factor: 0.125) == 1)
        let meaning = TargetVerification.Meaning(tensor, as: coarse, factor: 1)
        #expect(meaning.exported([0, 32768, 32778, 65535], of: tensor) == [0, 32768, 32773, 65535])
        let signed = TargetVerification.Meaning(tensor, as: folded, factor: 0.125)
        #expect(signed.exported([0, 32768, 32778, 65535], of: tensor) == [-32768, 0, 10, 32767])
    }

    /// A template may write the program's constant prefix in front of a prompt: it is taken off once, for all who run the text.
    @Test func aPromptThatBeginsWithThePrefixIsTheSameText() throws {
        var shape = DecoderShape()
        (shape.layers, shape.prefix) = (1, 1)
        let program = shape.program(seed: 3)
        let session = try Runtime(program: program).makeSession()
        let prompt: [Int32] = [1, 2, 3]
        #expect(session.droppedCount(of: program.graph.prefixTokens + prompt) == 1)
        let plain = try GreedyAgreement.texts([prompt], count: 4, ends: [], session: session)
        let written = try GreedyAgreement.texts(
            [program.graph.prefixTokens + prompt], count: 4, ends: [], session: session)
        #expect(plain.map(\.tokens) == written.map(\.tokens) && written.map(\.promptLength) == [3])
    }
}
