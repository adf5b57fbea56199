import DyadFormats
import DyadTensor
import DyadTransformer

/// Optimiser steps with schedule, progress and snapshots from which a run continues to the same bytes.
struct LearningLoop {
    let problem: LearningProblem
    /// The name of its snapshots.
    let name: String
    let run: RunDirectory?
    let progress: ProgressReporter?

    /// Takes the stage's steps; false when a loss or a parameter was not finite and all of them are worthless.
    ///
    /// - Parameter loss: adds the gradients of a batch of window numbers and returns its loss.
    func run(
        order: BatchOrder, phase: String, of parts: Int, loss: (_ batch: [Int], _ step: Int) throws -> Double
    ) throws -> Bool {
        let stage = problem.stage
        let parameters = problem.parameters
        let optimizer = problem.optimizer()
        let highest = optimizer.groups.map(\.learningRate)
        let schedule = LearningRateSchedule(.cosine(minimum: 0.02), steps: stage.steps, warmUp: stage.warmUp)
        var order = order
        var recent = RunningMean()
        var first = 0
        if let snapshot = try run?.snapshot(name) {
            try snapshot.restore(parameters.map(\.tensor), optimizer)
            try order.restore(snapshot.order)
            first = snapshot.step
        }
        for step in first..<max(first, stage.steps) {
            let value = try loss(try order.next(), step)
            guard value.isFinite else { return false }
            let factor = schedule.factor(at: step)
            for index in highest.indices { optimizer.groups[index].learningRate = highest[index] * factor }
            try optimizer.step()
            try optimizer.zeroGrad()
            guard try parameters.allSatisfy({ try $0.tensor.sum(dtype: .float64).item().isFinite }) else {
                return false
            }
            recent.add(value)
            run?.log(["part": .string(name), "step": .integer(step), "loss": .measured(value)])
            progress?.update(
                phase: parts == 1 ? phase : "\(phase)/\(parts)", completed: step + 1, total: stage.steps,
                note: "loss \(recent.text)")
            try run?.keep(name, step: step + 1, of: stage.steps) {
                try Snapshot(step: step + 1, parameters: parameters.map(\.tensor), optimizer: optimizer, order: order)
            }
        }
        return true
    }
}

/// The windows of every batch: permutations of all windows, one after another.
struct BatchOrder {
    private let count: Int
    private let batch: Int
    private let generator: Generator
    private var rest: [Int] = []

    init(count: Int, batch: Int, seed: UInt64) throws(DyadError) {
        (self.count, self.batch) = (count, min(batch, count))
        generator = try Generator(seed: seed)
    }

    mutating func next() throws(DyadError) -> [Int] {
        while rest.count < batch {
            rest += try Tensor.randperm(count, generator: generator).toArray(Int64.self).map { Int($0) }
        }
        defer { rest.removeFirst(batch) }
        return Array(rest.prefix(batch))
    }

    /// The generator's state and the windows not yet used.
    func state() throws(DyadError) -> (generator: Tensor, rest: [Int]) { (try generator.state(), rest) }

    mutating func restore(_ state: (generator: Tensor, rest: [Int])) throws(DyadError) {
        guard state.rest.allSatisfy({ (0..<count).contains($0) }) else {
            throw DyadError(
                .malformed, subject: "order.rest", found: "a window that the text does not have",
                expected: "numbers below \(count)", remedy: "Leave out --resume to start again.")
        }
        try generator.restore(state.generator)
        rest = state.rest
    }
}

/// The mean of the last losses.
private struct RunningMean {
    private var values: [Double] = []

    mutating func add(_ value: Double) {
        values.append(value)
        if values.count > 20 { values.removeFirst() }
    }

    var text: String {
        let mean = values.reduce(0, +) / Double(max(values.count, 1))
        return mean < 0.01 ? "\(Float(mean))" : "\((mean * 100_000).rounded() / 100_000)"
    }
}
