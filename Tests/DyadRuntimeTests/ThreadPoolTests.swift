import Testing

@testable import DyadRuntime

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 3, 8]) func everyTaskRunsOnceAndIsSeen(_ threads: Int) throws {
        let pool = try ThreadPool(threads: threads)
        for round in 0..<2000 {
            let tasks = round % 37
            let done = AlignedCounters(count: 37)
            pool.run(tasks: tasks) { task, worker in
                done.values[task] += 1
                if worker < 0 || worker >= threads { done.values[task] += 100 }
            }
            guard (0..<37).allSatisfy({ done.values[$0] == ($0 < tasks ? 1 : 0) }) else {
                Issue.record("round \(round), \(tasks) tasks on \(threads) threads")
                return
            }
        }
    }

    @Test func manyPoolsStartAndStop() throws {
        for _ in 0..<100 { _ = try ThreadPool(threads: 4) }
    }

    /// Written by different tasks at different places, read after the section.
    private final class AlignedCounters: @unchecked Sendable {
        let values: UnsafeMutablePointer<Int>
        init(count: Int) {
            values = .allocate(capacity: count)
            values.initialize(repeating: 0, count: count)
        }
        deinit { values.deallocate() }
    }
}
