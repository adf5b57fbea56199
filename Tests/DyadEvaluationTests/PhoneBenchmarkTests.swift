import DyadExport
import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import Testing

@testable import DyadEvaluation
@testable import DyadTargets

/// The folder for a phone, without Qualcomm's compiler and without a phone: what is in it, what its script does, what is read back.
@Suite struct PhoneBenchmarkTests {
    private static let benchmark = PhoneBenchmark(target: .sm8650, context: 16, chunk: 4, repetitions: 3)
    private static let source = ExportSource(name: "tiny.dyad", sha256: "ab")
    private static let tokens: [Int32] = [3, 1, 4, 1, 5]
    /// As ONNX Runtime's QNN provider wrote it, shortened.
    private static let profile = """
        Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier
        0,FINALIZE,19255387,US,BACKEND,ROOT,QNN (finalize) time
        0,BACKEND,0,COUNT,BACKEND,ROOT,Number of HVX threads used
        0,EXECUTE,4000,US,BACKEND,ROOT,QNN (execute) time
        0,EXECUTE,1000,US,BACKEND,ROOT,QNN (execute) time
        0,EXECUTE,2000,US,BACKEND,ROOT,QNN (execute) time

        """

    private static func program() -> IntegerProgram {
        var shape = DecoderShape()
        (shape.weightBits, shape.hasHadamard, shape.prefix) = (4, true, 1)
        (shape.hidden, shape.intermediate, shape.attention) = (64, 96, .late8)
        return shape.program(seed: 11)
    }

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "dyad-phone-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func write(_ text: String, to path: String, executable: Bool = false) throws {
        try FileManager.default.createDirectory(
            atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        if executable { try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path) }
    }

    /// What a phone that computes exactly would bring back.
    private static func writeResults(of program: IntegerProgram, in folder: String) throws {
        for (name, start, count) in [("prefill", 0, 4), ("decode", 4, 1)] {
            let graph = try StaticGraph.lowered(
                program, part: .whole(of: program.graph), shape: StaticShape(tokens: count, context: 16, logits: .one),
                for: .sm8650)
            let value = try #require(
                graph.outputs.map { graph.values[$0] }.last { $0.shape.last == program.graph.vocabularySize })
            let observed = try TargetVerification.Observation(program, tokens: tokens, start: start, count: count)
            let tensor = try #require(program.graph.tensors.first { $0.name == value.name })
            let encoding = try #require(value.type.encoding)
            let logits = try #require(observed.tensors[value.name]).suffix(program.graph.vocabularySize).map {
                let real = Double($0 - tensor.encoding.zeroPoint) * Double(tensor.encoding.scale)
                return UInt16((real / Double(encoding.scale)).rounded() + Double(encoding.zeroPoint))
            }
            try write(profile, to: "\(folder)/results/\(name)/profile.csv")
            let file = "\(folder)/results/\(name)/Result_0/\(value.name)_native.raw"
            try write("", to: file)
            try logits.withUnsafeBytes { try Data($0).write(to: URL(fileURLWithPath: file)) }
        }
    }

    @Test func aFolderHoldsEveryInputAndReadsBackWhatThePhonePutOut() throws {
        let program = Self.program()
        try Self.withFolder { folder in
            try Self.benchmark.writeInputs(program, from: Self.source, tokens: Self.tokens, in: folder)
            for (name, count) in [("prefill", 4), ("decode", 1)] {
                let graph = try StaticGraph.lowered(
                    program, part: .whole(of: program.graph),
                    shape: StaticShape(tokens: count, context: 16, logits: .one), for: .sm8650)
                let list = try String(contentsOfFile: "\(folder)/inputs/\(name).txt", encoding: .utf8)
                let entries = list.split(whereSeparator: \.isWhitespace).map { $0.split(separator: ":=") }
                #expect(entries.map { String($0[0]) } == graph.inputs.map { graph.values[$0].name })
                for (entry, id) in zip(entries, graph.inputs) {
                    let value = graph.values[id]
                    let size = value.type.integerType.map { $0.bitWidth / 8 } ?? (value.name == "visible" ? 1 : 4)
                    let found = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(entry[1])")).count
                    #expect(found == value.shape.reduce(1, *) * size, "\(value.name)")
                }
            }
            try Self.writeResults(of: program, in: folder)
            let (benchmark, tokens) = try PhoneBenchmark.settings(of: folder, for: Self.source)
            let results = try benchmark.results(of: program, tokens: tokens, in: folder)
            #expect(results.map(\.name) == ["prefill", "decode"])
            #expect(results.allSatisfy { $0.argmaxAgrees && $0.signalToNoise > 40 })
            // The median of 1, 2 and 4 ms; four tokens a run, and one.
            #expect(results.map(\.median) == [2000, 2000])
            #expect(results.map(\.tokensPerSecond) == [2000, 500])
            #expect(results[0].microseconds.map(\.event) == ["QNN (finalize) time", "QNN (execute) time"])
        }
    }

    /// Another program, a profile or an output that is not what it should be, a folder that was not run.
    @Test func whatIsWrongIsNamed() throws {
        let program = Self.program()
        try Self.withFolder { folder in
            try Self.benchmark.writeInputs(program, from: Self.source, tokens: Self.tokens, in: folder)
            var error = #expect(throws: DyadError.self) {
                _ = try PhoneBenchmark.settings(of: folder, for: ExportSource(name: "other.dyad", sha256: "cd"))
            }
            #expect(error?.reason == .mismatch && error?.file == "\(folder)/benchmark.json")
            func read() -> DyadError? {
                #expect(throws: DyadError.self) {
                    _ = try Self.benchmark.results(of: program, tokens: Self.tokens, in: folder)
                }
            }
            #expect(read()?.reason == .missing)
            try Self.writeResults(of: program, in: folder)
            try Self.write("a,b\n1,2\n", to: "\(folder)/results/decode/profile.csv")
            error = read()
            #expect(error?.reason == .malformed && error?.file == "\(folder)/results/decode/profile.csv")
            try Self.write(
                Self.profile + "0,EXECUTE,soon,US,BACKEND,ROOT,QNN (execute) time\n",
                to: "\(folder)/results/decode/profile.csv")
            #expect(read()?.found.contains("soon") == true)
            try Self.write(
                Self.profile + "0,EXECUTE,nan,US,BACKEND,ROOT,QNN (execute) time\n",
                to: "\(folder)/results/decode/profile.csv")
            #expect(read()?.reason == .malformed)
            try Self.writeResults(of: program, in: folder)
            let place = "\(folder)/results/prefill/Result_0"
            let logits = try #require(FileManager.default.contentsOfDirectory(atPath: place).first)
            try Self.write("ab", to: "\(place)/\(logits)")
            error = read()
            #expect(error?.reason == .mismatch && error?.found == "2 bytes" && error?.file == "\(place)/\(logits)")
            try Self.write("{}", to: "\(folder)/benchmark.json")
            error = #expect(throws: DyadError.self) {
                _ = try PhoneBenchmark.settings(of: folder, for: Self.source)
            }
            #expect(error?.reason == .malformed)
        }
    }

    @Test func aTextThatIsTooShortIsRefused() throws {
        try Self.withFolder { folder in
            let error = #expect(throws: DyadError.self) {
                try Self.benchmark.writeInputs(Self.program(), from: Self.source, tokens: [1, 2], in: folder)
            }
            #expect(error?.reason == .mismatch && error?.found.contains("2 tokens") == true)
        }
    }

    /// The script pushes, runs and pulls: with an adb that is this machine, and an SDK whose tools write down what they were asked.
    /// A phone with another chip, which would load another architecture's binary or refuse it without a reason, is not touched.
    @Test(arguments: [("SM8650-AC\\r", true), ("SM8550", false)])
    func theScriptRunsBothGraphsAndBringsTheirOutputsBack(chip: String, isTaken: Bool) throws {
        try Self.withFolder { folder in
            try Self.benchmark.writeInputs(Self.program(), from: Self.source, tokens: Self.tokens, in: folder)
            for name in ["prefill", "decode"] { try Self.write("binary", to: "\(folder)/\(name).bin") }
            let sdk = folder + "/sdk", tools = folder + "/tools"
            for library in [
                "lib/aarch64-android/libQnnHtp.so", "lib/aarch64-android/libQnnSystem.so",
                "lib/aarch64-android/libQnnHtpV75Stub.so", "lib/hexagon-v75/unsigned/libQnnHtpV75Skel.so",
            ] { try Self.write("", to: "\(sdk)/\(library)") }
            try Self.write(
                """
                #!/bin/sh
                echo "$@" >asked
                while [ "$1" != --input_list ]; do shift; done
                for pair in $(cat "$2"); do test -f "${pair#*:=}" || exit 3; done
                while [ "$1" != --output_dir ]; do shift; done
                mkdir -p "$2/Result_0"
                cp asked "$2/qnn-profiling-data_0.log"
                echo logits >"$2/Result_0/logits_native.raw"

                """, to: "\(sdk)/bin/aarch64-android/qnn-net-run", executable: true)
            try Self.write(
                "#!/bin/sh\ncp \"$2\" \"$4\"\n", to: "\(sdk)/bin/x86_64-linux-clang/qnn-profile-viewer",
                executable: true)
            try Self.write(
                """
                #!/bin/sh
                if [ "$1" = -s ]; then echo "$2" >"\(folder)/serial"; shift 2; fi
                case $1 in
                push | pull) cp -r "$2" "$3" ;;
                shell) sh -c "$2" ;;
                esac

                """, to: "\(tools)/adb", executable: true)
            try Self.write("#!/bin/sh\nprintf '\(chip)\\n'\n", to: "\(tools)/getprop", executable: true)

            let process = Process()
            process.executableURL = URL(fileURLWithPath: "\(folder)/run.sh")
            process.arguments = ["-s", "ABC"]
            var environment = ProcessInfo.processInfo.environment
            environment["PATH"] = "\(tools):/usr/bin:/bin"
            environment["QNN_SDK_ROOT"] = sdk
            environment["DYAD_DEVICE_FOLDER"] = folder + "/device"
            process.environment = environment
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            guard isTaken else {
                #expect(process.terminationStatus == 1)
                for made in ["device", "results"] {
                    #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(made)"))
                }
                return
            }
            #expect(process.terminationStatus == 0)
            #expect(try String(contentsOfFile: "\(folder)/serial", encoding: .utf8) == "ABC\n")
            for name in ["prefill", "decode"] {
                let asked = try String(contentsOfFile: "\(folder)/results/\(name)/profile.csv", encoding: .utf8)
                #expect(asked.contains("--retrieve_context \(name).bin") && asked.contains("--num_inferences 3"))
                #expect(
                    FileManager.default.fileExists(atPath: "\(folder)/results/\(name)/Result_0/logits_native.raw"))
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/device"))
        }
    }
}
