import DyadCheckpoint
import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadFormats
import DyadGraph
import DyadQuantization
import Foundation
import Testing

/// The commands as functions, on a tiny checkpoint in Hugging Face's layout.
@Suite(.needsTorch) struct JobTests {
    private func job(
        _ folder: URL, recipe: String = "static-w8a8", output: String = "out.dyad", fixture: String = "llama-gqa-untied"
    ) throws -> QuantizationJob {
        let model =
            FileManager.default.fileExists(atPath: folder.appending(path: "model").plainPath)
            ? folder.appending(path: "model").plainPath : try makeTinyCheckpoint(fixture, in: folder)
        var job = QuantizationJob(
            model: model, output: folder.appending(path: output).plainPath, recipe: try Recipe.named(recipe))
        (job.samples, job.sequenceLength, job.context, job.threads) = (8, 32, 64, 1)
        return job
    }

    @Test func aJobWritesAProgramAndReportsItsScores() throws {
        try withFolder { folder in
            let progress = Phases()
            let report = try job(folder).run(progress: progress)
            #expect(progress.names.isSuperset(of: ["write calibration text", "prefix", "calibrate", "score"]))
            #expect(progress.isOrderly)
            let program = try IntegerProgram.load(report.output)
            #expect(report.bytes == (try FileBytes(report.output).count))
            #expect(program.graph.maximumContext == 64 + program.graph.prefixTokens.count)
            #expect(program.provenance["recipe"]?.string == "static-w8a8")
            #expect(program.provenance["calibration"]?.string == "self-written")
            #expect(program.provenance["model_sha256"]?.string?.count == 64)
            for score in [report.float, report.folded, report.simulated, report.integer] {
                #expect(score.perplexity > 1 && score.perplexity < 64)
            }
            #expect(abs(report.integer.perplexity / report.simulated.perplexity - 1) < 0.005)
            #expect(abs(report.integer.perplexity / report.folded.perplexity - 1) < 0.02)
            #expect(report.float.comparison == nil)
            let json = report.json(peakResidentBytes: 7)
            for key in [
                "seconds", "peak_resident_bytes", "bytes", "float_perplexity", "folded_perplexity",
                "simulated_perplexity", "integer_perplexity", "held_out_tokens", "mean_kl", "top1_agreement",
            ] {
                #expect(json[key]?.double != nil, "\(key)")
            }
        }
    }

    @Test func equalJobsWriteEqualFiles() throws {
        try withFolder { folder in
            func bytes(_ seed: UInt64) throws -> Data {
                var job = try job(folder, recipe: "static-w4a8")
                job.seed = seed
                _ = try job.run()
                return try Data(contentsOf: URL(filePath: job.output))
            }
            let first = try bytes(3)
            #expect(try bytes(3) == first)
            #expect(try bytes(4) != first)
        }
    }

    @Test func aFileOfTextCalibratesToo() throws {
        try withFolder { folder in
            var job = try job(folder, recipe: "rtn-w8a8")
            let text = folder.appending(path: "text.txt")
            try Data(String(repeating: "the quick brown fox jumps over the lazy dog. ", count: 20).utf8).write(to: text)
            job.calibration = .file(text.plainPath)
            // Fewer positions than a held-out window has tokens: they are cut.
            job.context = 16
            let report = try job.run()
            let program = try IntegerProgram.load(report.output)
            #expect(program.provenance["calibration"]?.string == "file")
            #expect(program.graph.prefixTokens.isEmpty)
        }
    }

    @Test func anOutputThatCannotBeWrittenIsSaidBeforeTheWork() throws {
        try withFolder { folder in
            let progress = Phases()
            let wrong = try job(folder, output: "missing/out.dyad")
            let error = #expect(throws: DyadError.self) { try wrong.run(progress: progress) }
            #expect(error?.reason == .cannotWrite && error?.file == wrong.output)
            #expect(progress.names.isEmpty)
        }
    }

    @Test(arguments: [(0, 32, 64), (8, 1, 64), (8, 32, 1), (.max, 32, 64), (8, .max, 64), (8, 32, .max)])
    func settingsOutOfRangeAreRefused(samples: Int, length: Int, context: Int) throws {
        try withFolder { folder in
            var job = try job(folder)
            (job.samples, job.sequenceLength, job.context) = (samples, length, context)
            let error = #expect(throws: DyadError.self) { try job.run() }
            #expect(error?.reason == .usage)
            #expect(!FileManager.default.fileExists(atPath: job.output))
        }
    }

    @Test func aReferenceIsComputedOnceWhereItsHiddenStatesAreKept() throws {
        try withFolder { folder in
            let quantization = try job(folder)
            let text = folder.appending(path: "text.txt")
            try Data(String(repeating: "the quick brown fox jumps over the lazy dog. ", count: 20).utf8).write(to: text)
            var evaluation = EvaluationJob(model: try quantization.run().output, text: text.plainPath)
            (evaluation.context, evaluation.maximumTokens, evaluation.reference) = (32, 96, quantization.model)
            let plain = try evaluation.run().json()
            let cache = folder.appending(path: "cache")
            evaluation.referenceCache = cache.plainPath
            #expect(try evaluation.run().json() == plain)
            // Three windows, without and with the program's prefix.
            let files = try FileManager.default.contentsOfDirectory(atPath: cache.plainPath)
            #expect(files.count == 6)
            #expect(try evaluation.run().json() == plain)
            // The second run reads them: a damaged one is named.
            for file in files { try Data("no tensors".utf8).write(to: cache.appending(path: file)) }
            let error = #expect(throws: DyadError.self) { try evaluation.run() }
            #expect(files.contains { error?.file?.hasSuffix($0) == true })
            evaluation.reference = nil
            #expect(throws: DyadError.self) { try evaluation.run() }
        }
    }

    @Test func aFewWindowsOrAnotherTextCanScore() throws {
        try withFolder { folder in
            var job = try job(folder)
            let all = try job.run()
            job.scoreWindows = 1
            let one = try job.run()
            #expect(one.integer.windows == 1 && all.integer.windows > 1)
            let other = folder.appending(path: "other.txt")
            try Data(String(repeating: "zyx wvu tsr qpo. ", count: 60).utf8).write(to: other)
            job.scoreText = other.plainPath
            #expect(try job.run().float.perplexity != one.float.perplexity)
            job.scoreText = folder.appending(path: "missing.txt").plainPath
            #expect(throws: DyadError.self) { try job.run() }

            var evaluation = EvaluationJob(model: job.output, text: other.plainPath)
            (evaluation.context, evaluation.tempers) = (48, true)
            #expect(try evaluation.run().json()["tempered_perplexity"]?.double != nil)
            evaluation.text = nil
            evaluation.tasks = [TaskDefinition.all[0]]
            #expect(throws: DyadError.self) { try evaluation.run() }
        }
    }

    @Test func theProgramsRunsAreCompared() throws {
        try withFolder { folder in
            let path = try job(folder).run().output
            let program = try IntegerProgram.load(path)
            let tokens = (0..<24).map { Int32($0 * 7 % 32) }
            let reference = try Verification.run(program, tokens: tokens, against: .reference)
            #expect(reference.maximumSteps == 0 && reference.rows.count > 20)
            let exact = try Verification.run(program, tokens: tokens, against: .exact)
            #expect(exact.maximumSteps > 0 && exact.maximumSteps <= Verification.exactBudget)
            #expect(exact.json()["max_lsb"]?.double == exact.maximumSteps)

            let text = folder.appending(path: "text.txt")
            try Data(String(repeating: "abc def ghi jkl. ", count: 30).utf8).write(to: text)
            func perplexity(_ model: String, _ mode: EvaluationJob.Mode?) throws -> EvaluationJob.Result {
                var job = EvaluationJob(model: model, text: text.plainPath)
                (job.context, job.mode, job.threads) = (48, mode, 1)
                job.reference = folder.appending(path: "model").plainPath
                return try job.run()
            }
            let integer = try perplexity(path, .integer), simulated = try perplexity(path, .simulated)
            let found = try #require(integer.model?.perplexity), expected = try #require(simulated.model?.perplexity)
            #expect(abs(found / expected - 1) < 0.005)
            #expect(integer.prefixedReference != nil)
            let ratio = try #require(integer.ratioToLowerReference)
            #expect(abs(ratio - 1) < 0.05)
            let float = try perplexity(folder.appending(path: "model").plainPath, nil)
            #expect(float.model?.comparison?.meanKL ?? 1 < 1e-9)
            #expect(throws: DyadError.self) { try perplexity(path, .float) }
        }
    }

    @Test func aProgramsWindowsMustFitItsContext() throws {
        try withFolder { folder in
            let path = try job(folder, recipe: "rtn-w8a8").run().output
            let text = folder.appending(path: "text.txt")
            try Data(String(repeating: "abc def ghi jkl. ", count: 30).utf8).write(to: text)
            var evaluation = EvaluationJob(model: path, text: text.plainPath)
            evaluation.context = 65
            let error = #expect(throws: DyadError.self) { try evaluation.run() }
            #expect(error?.reason == .usage && error?.subject == "--context")
        }
    }

    /// Gemma with its beginning-of-text token and without, float and integer (conformance check 6 of MobileQuant).
    @Test func gemmaIsReportedWithAndWithoutItsBeginningOfText() throws {
        try withFolder { folder in
            let job = try job(folder, recipe: "rtn-w8a8", fixture: "gemma")
            let program = try job.run().output
            let text = folder.appending(path: "text.txt")
            try Data(String(repeating: "abc def ghi jkl. ", count: 30).utf8).write(to: text)
            var perplexities: [Double] = []
            for begins in [true, false] {
                var evaluation = EvaluationJob(model: program, text: text.plainPath)
                (evaluation.context, evaluation.threads, evaluation.beginsText) = (32, 1, begins)
                evaluation.reference = job.model
                let json = try evaluation.run().json()
                #expect(json["bos"]?.bool == begins)
                #expect(try #require(json["mean_kl"]?.double) < 0.05)
                perplexities.append(try #require(json["reference_perplexity"]?.double))
            }
            // The two ways differ, by a tenth for this random model.
            #expect(abs(perplexities[0] / perplexities[1] - 1) > 0.01)
        }
    }

    @Test func inspectionListsWhatAFileHolds() throws {
        try withFolder { folder in
            let job = try job(folder)
            _ = try job.run()
            let program = try Inspection(job.output), checkpoint = try Inspection(job.model)
            #expect(program.kind == "dyad" && checkpoint.kind == "checkpoint")
            let head = try #require(program.entries.first { $0.name == "lm_head.weight" })
            #expect(head.type == "i8" && head.shape == [32, 16] && head.bytes == 512)
            #expect(program.bytesByType.map(\.bytes).reduce(0, +) == program.entries.map(\.bytes).reduce(0, +))
            #expect(checkpoint.entries.contains { $0.name == "model.embed_tokens.weight" && $0.shape == [32, 16] })
            #expect(program.json()["tensors"]?.array?.count == program.entries.count)
            #expect(throws: DyadError.self) { try Inspection(folder.appending(path: "none.dyad").plainPath) }
        }
    }
}

/// Notes what was reported.
private final class Phases: ProgressReporter {
    private(set) var names: Set<String> = []
    private(set) var isOrderly = true

    func update(phase: String, completed: Int, total: Int, note: String) {
        names.insert(phase)
        if completed < 0 || completed > total { isOrderly = false }
    }
}
