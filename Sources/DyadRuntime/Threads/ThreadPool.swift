import CDyadKernels
import DyadFormats

/// Fixed worker threads that share out the tasks of one parallel section after another.
///
/// Tasks are claimed while they run, so a core that is slower or busy takes fewer; results never depend on that, because
/// every task writes memory of its own. Sections of two sessions on one pool wait for each other.
final class ThreadPool: @unchecked Sendable {
    /// Threads that work, the caller's included.
    let threads: Int
    private let pool: OpaquePointer

    /// Starts `threads − 1` workers.
    ///
    /// - Throws: ``DyadError`` where `threads` is not in 1…256 or the system refuses a thread.
    init(threads: Int) throws(DyadError) {
        guard (1...256).contains(threads) else {
            throw DyadError(
                .usage, subject: "threads", found: "\(threads)", expected: "a number from 1 to 256",
                remedy: "Use the number of cores.")
        }
        guard let pool = dyad_pool_create(threads) else {
            throw DyadError(
                .failed, subject: "threads", found: "that the system cannot start \(threads) threads",
                expected: "\(threads - 1) new threads", remedy: "Use fewer threads.")
        }
        self.threads = threads
        self.pool = pool
    }

    deinit { dyad_pool_destroy(pool) }

    /// Calls `body(task, worker)` once for every task in `0 ..< tasks`, with `worker < threads`, and returns when all are done.
    func run(tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
        if threads == 1 || tasks <= 1 {
            for task in 0..<tasks { body(task, 0) }
            return
        }
        withoutActuallyEscaping(body) { body in
            var box = TaskBody(call: body)
            withUnsafeMutablePointer(to: &box) { pointer in
                dyad_pool_run(
                    pool, tasks,
                    { context, task, worker in
                        context?.assumingMemoryBound(to: TaskBody.self).pointee.call(task, worker)
                    }, pointer)
            }
        }
    }

    private struct TaskBody {
        let call: (Int, Int) -> Void
    }
}
