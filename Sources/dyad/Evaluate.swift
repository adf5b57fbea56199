import ArgumentParser
import DyadEvaluation
import DyadJobs
import DyadFormats

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Measure perplexity, KL divergence and top-1 agreement against a reference model, conversations, and zero-shot tasks.",
        discussion: """
            A program with a constant prefix is compared with the float model behind the same prefix; the ratio of perplexities is also \
            given to the lower of that model's and the plain one's.
            """)

    @Argument(help: "A float model or a .dyad file.") var model: String
    @Option(help: "The text to measure perplexity on.") var perplexity: String?
    @Option(help: "Tokens of a window.") var context = 1024
    @Option(help: "Use at most so many tokens of the text.") var maxTokens: Int?
    @Flag(help: "Begin every window with the model's beginning-of-text token (Gemma needs it).") var bos = false
    @Option(
        help: ArgumentHelp(
            """
            A .jsonl file with messages: where the assistant speaks last, what it says is scored; where the user does, the model's \
            and the reference's greedy answers are compared.
            """, valueName: "file"))
    var conversations: String?
    @Option(help: "Compare at most so many answers (default: all).") var answers: Int?
    @Option(help: "Tokens of an answer, at most.") var answerTokens = 64
    @Option(
        help: ArgumentHelp(
            "Tasks to score, with commas between them: "
                + TaskDefinition.all.map(\.name).joined(separator: ", ") + ".", valueName: "list"))
    var tasks: String?
    @Option(help: "The folder that holds the tasks' files.") var data: String?
    @Option(help: "Score at most so many rows of each task.") var limit: Int?
    @Option(help: "A model to compare with, usually the float one.") var reference: String?
    @Option(
        help: ArgumentHelp(
            "Keep the float reference's hidden states there, for further evaluations on the same windows.",
            valueName: "folder"))
    var referenceCache: String?
    @Flag(help: "Also find each model's best temperature, and its perplexity there.") var temper = false
    @Option(help: "float (needs a float model), simulated or integer (the default for a .dyad file).")
    var mode: EvaluationJob.Mode?
    @Option(help: "Threads of the integer program (default: one a core).") var threads: Int?
    @Flag(help: "Print the result as JSON.") var json = false

    func run() throws {
        var job = EvaluationJob(model: model, text: perplexity)
        (job.context, job.maximumTokens, job.reference) = (context, maxTokens, reference)
        (job.beginsText, job.referenceCache) = (bos, referenceCache)
        (job.mode, job.threads, job.tempers) = (mode, threads, temper)
        (job.conversations, job.answers, job.answerTokens) = (conversations, answers, answerTokens)
        job.tasks = try tasks.map { try TaskDefinition.list($0) } ?? []
        (job.data, job.limit) = (data, limit)
        let result = try job.run(progress: ProgressLine())
        try Terminal.print(json ? result.json().text() : result.table)
    }
}

extension EvaluationJob.Mode: ExpressibleByArgument {}
