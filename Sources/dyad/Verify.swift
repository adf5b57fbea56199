import ArgumentParser
import DyadEvaluation
import DyadJobs
import DyadTargets

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two executions of the same program, tensor by tensor.",
        discussion: """
            reference: the runtime against the reference interpreter, with every tensor watched and as generate runs it, in \
            chunks and in single steps; every integer must be equal, or the exit code is 1.
            exact: every operation against real arithmetic on its own integer inputs; differences are reported in steps \
            of the output's encoding, and one above 1 step makes the exit code 1.
            onnxruntime, qnn-sm8650, qnn-sm8750, litert: the exported program in the vendor's library (Python packages; scripts/npu). Each \
            part is given the integer graph's own tensors; with --text, the whole program is run too.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(help: "reference, exact, onnxruntime, qnn-sm8650, qnn-sm8750 or litert.") var against = Opponent
        .reference
    @Option(help: "The text whose first tokens are run.") var prompt =
        "The capital of France is Paris, a city on the river Seine."
    @Option(help: "Use at most so many tokens of the prompt, and no more than the program's context holds.")
    var tokens = 32
    @Option(help: "A text for a vendor's library: its first tokens are run, and its first windows measured.") var text:
        String?
    @Option(help: "Windows of the text to measure; 0 for none.") var windows = 4
    @Option(help: "Tokens of a window.") var context = 256
    @Option(
        help: "A file of prompts, one a line: does a vendor's library choose the tokens that the integer graph writes?")
    var prompts: String?
    @Option(help: "Tokens that the integer graph writes behind each of the prompts, at most.") var answer = 32
    @Option(help: "Tokens of the prefill chunk that a vendor's library runs.") var chunk = 64
    @Option(help: "Compare only so many layers; all, the embedding and the head where not given.") var layers: Int?
    @Option(
        help: """
            Also check that this folder, written by dyad export, still says what the program says; with a vendor's library also run \
            its own files, prefill chunks and then single steps.
            """) var exported: String?
    @Option(help: "Single steps of an exported folder to run.") var steps = 16
    @Flag(
        help: """
            Also execute each part in real arithmetic, to say where a vendor's library differs: in the export, in the low bits that \
            HTP drops, or in the rest.
            """) var explain = false
    @Option(help: "Also write the comparison with a vendor's library as a page.") var html: String?
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        var job = VerificationJob(program: program, against: against.value, prompt: prompt)
        (job.tokens, job.exported, job.text, job.prompts) = (tokens, exported, text, prompts)
        (job.layers, job.page) = (layers, html)
        (job.options.chunk, job.options.context, job.options.windows) = (chunk, context, windows)
        (job.options.steps, job.options.answer, job.options.explains) = (steps, answer, explain)
        let result = try job.run { Terminal.note($0) }
        try Terminal.print(json ? result.json().text() : result.table)
        try result.check(program)
    }
}

extension Verify {
    /// What the runtime, or the exported program, is compared with, as an argument.
    struct Opponent: ExpressibleByArgument {
        let value: VerificationJob.Opponent

        init?(argument: String) {
            if let opponent = Verification.Opponent(rawValue: argument) {
                value = .program(opponent)
            } else if let library = TargetLibrary(rawValue: argument) {
                value = .target(library)
            } else {
                return nil
            }
        }

        var defaultValueDescription: String { Verification.Opponent.reference.rawValue }

        static var allValueStrings: [String] {
            Verification.Opponent.allCases.map(\.rawValue) + TargetLibrary.allCases.map(\.rawValue)
        }

        static let reference = Opponent(value: .program(.reference))

        private init(value: VerificationJob.Opponent) { self.value = value }
    }
}
