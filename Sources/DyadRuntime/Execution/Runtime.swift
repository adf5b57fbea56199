import DyadFormats
import DyadGraph

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A program planned for this machine: weights packed for its kernels, threads started.
///
/// Sessions share it. Logits are the same bits for every kernel set, thread count and way of cutting the tokens, and
/// equal to ``ReferenceInterpreter``'s.
public final class Runtime: Sendable {
    /// How to run.
    public struct Options: Sendable {
        /// Threads that compute; by default one a core.
        public var threads: Int
        /// The kernels; nil takes what `DYAD_KERNELS` names, else the fastest.
        public var kernels: KernelSet?
        /// Tokens that go through the network together in prefill; memory grows with it.
        public var prefillChunk: Int

        /// Creates options.
        public init(threads: Int = Options.processorCount, kernels: KernelSet? = nil, prefillChunk: Int = 512) {
            self.threads = threads
            self.kernels = kernels
            self.prefillChunk = prefillChunk
        }

        /// Cores that are online.
        public static var processorCount: Int { max(1, min(256, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
    }

    /// The kernels in use.
    public let kernels: KernelSet
    /// Threads in use.
    public var threads: Int { pool.threads }
    /// Bytes of weights held ready to run: packed linear weights with their channels' parameters, and the embedding.
    public var weightBytes: Int { plan.weightBytes }
    /// Number of token ids; a row of logits has so many.
    public var vocabularySize: Int { plan.graph.vocabularySize }
    /// Positions that the program can hold, prefix included.
    public var maximumContext: Int { plan.graph.maximumContext }
    /// Tokens that stand first in every cache as constants; a prompt that begins with them drops them.
    public var prefixTokens: [Int32] { plan.graph.prefixTokens }

    let plan: ExecutionPlan
    let pool: ThreadPool
    /// Tokens that go through the network together in prefill, at most.
    public let prefillChunk: Int

    /// Validates and plans `program`.
    ///
    /// - Throws: ``DyadError`` where the program is not sound, uses what the runtime lacks, or memory runs out.
    /// - Cost: one pass over the weights; their packed copy stays in memory.
    public init(program: IntegerProgram, options: Options = Options()) throws(DyadError) {
        guard (1...65536).contains(options.prefillChunk) else {
            throw DyadError(
                .usage, subject: "prefillChunk", found: "\(options.prefillChunk)", expected: "1 to 65536 tokens",
                remedy: "Use 512.")
        }
        if let kernels = options.kernels { self.kernels = kernels } else { kernels = try KernelSet.preferred() }
        try program.validate()
        pool = try ThreadPool(threads: options.threads)
        plan = try PlanBuilder.plan(program, pool: pool)
        prefillChunk = options.prefillChunk
    }

    /// A new, empty session.
    ///
    /// - Parameters:
    ///   - maximumContext: positions to hold, prefix included; nil takes the program's own.
    ///   - observing: whether tensors between operations that run as one are stored too, so that ``Session/observer`` sees
    ///     every tensor of the graph; slower, same bits.
    /// - Throws: ``DyadError`` (usage) where `maximumContext` does not fit the program, (failed) where memory runs out.
    public func makeSession(maximumContext: Int? = nil, observing: Bool = false) throws(DyadError) -> Session {
        let context = maximumContext ?? self.maximumContext
        guard context > plan.prefix, context <= self.maximumContext else {
            throw DyadError(
                .usage, subject: "maximumContext", found: "\(context) positions",
                expected: "\(plan.prefix + 1) to \(self.maximumContext), which is what the program was made for",
                remedy: "Choose a context in this range.")
        }
        return try Session(self, maximumContext: context, isObserving: observing)
    }
}
