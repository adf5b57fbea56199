import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Runs one stage of learning, from a calibration's result to a better one.
///
/// The float weights never change but for what transforms fold into them: they are the teacher, and what transforms and rounding
/// start from. Memory of a stage over the whole network: the float model, for learned rounding four more numbers for every weight
/// (latent, gradient, two moments), and of one batch the hidden states between the blocks and the activations of one of them. Block
/// by block: the float model once, one block of the rest, and the hidden states of the windows twice.
struct Learner {
    let plan: NetworkPlan
    let stage: Recipe.Learning
    /// Which of the recipe's stages this is.
    let index: Int
    let windows: [[Int32]]
    let seed: UInt64
    let run: RunDirectory?
    let progress: ProgressReporter?

    /// Windows on which start and end are compared, and 16-bit ranges are measured.
    private static let checkWindows = 8
    /// Windows that learning block by block holds in memory.
    private static let blockWindows = 128

    /// What a stage leaves behind.
    struct Outcome {
        /// The float decoder with the learnt transforms folded in: the same function as before.
        var folded: Decoder
        var result: QuantizedNetwork
    }

    /// Learns. A decoder that nobody else holds is not held twice.
    func run(_ folded: consuming Decoder, _ start: QuantizedNetwork) throws -> Outcome {
        if stage.objective != .block { return try runNetwork(folded, start) }
        var outcome = Outcome(folded: try folded.copy(), result: start)
        _ = consume folded
        try runBlocks(&outcome, start)
        return outcome
    }

    private func batches(of count: Int) throws(DyadError) -> BatchOrder {
        try BatchOrder(count: count, batch: stage.batch, seed: seed &+ UInt64(index))
    }

    /// What a stage must not make worse: the network as calibration left it, with nothing to learn. Only where weights are clipped is
    /// that another network than the one learning starts from.
    private func unchanged(_ folded: Decoder, _ start: QuantizedNetwork, layer: Int? = nil) throws -> LearningProblem {
        var stage = stage
        stage.rates = Recipe.Learning.Rates()
        return try LearningProblem(stage, plan, folded: folded, start: start, layer: layer)
    }

    // MARK: The whole network

    private func runNetwork(_ folded: Decoder, _ start: QuantizedNetwork) throws -> Outcome {
        let problem = try LearningProblem(stage, plan, folded: folded, start: start)
        let network = try NetworkLoss(problem)
        let check = stride(from: 0, to: windows.count, by: max(1, windows.count / Self.checkWindows)).map {
            windows[$0]
        }
        let before = try (stage.clipsWeights ? NetworkLoss(try unchanged(folded, start)) : network).value(check)
        let loop = LearningLoop(problem: problem, name: "stage-\(index)", run: run, progress: progress)
        let finished = try loop.run(order: try batches(of: windows.count), phase: "learn", of: 1) { batch, step in
            try network.backward(batch.map { windows[$0] }, step: step)
        }
        let after = finished ? try network.value(check) : .nan
        guard after <= before else {
            run?.log([
                "stage": .integer(index), "rolled_back": true, "before": .measured(before), "after": .measured(after),
            ])
            progress?.update(
                phase: "learn", completed: stage.steps, total: stage.steps,
                note: "rolled back: the loss on check windows went from \(before) to \(after)")
            return Outcome(folded: folded, result: start)
        }
        run?.log([
            "stage": .integer(index), "before": .measured(before), "after": .measured(after),
            "orthogonality_error": .measured(try problem.visitor.orthogonalityError()),
        ])
        var result = start
        try problem.store(in: &result)
        try problem.measureWideRanges(&result) { observer in
            for window in check {
                let hidden = try problem.student.hiddenStates([window], visitor: observer)
                _ = try problem.student.normalizedHidden(hidden, visitor: observer)
            }
        }
        let learnt = try problem.folded.copy()
        try problem.fold(into: learnt)
        return Outcome(folded: learnt, result: result)
    }

    // MARK: Block by block

    /// Of `outcome`, the blocks behind the current one are still as they were.
    private func runBlocks(_ outcome: inout Outcome, _ start: QuantizedNetwork) throws {
        let folded = outcome.folded
        let windows = Array(windows.prefix(Self.blockWindows))
        var targets = try windows.map { window in try withNoGrad { try folded.embed([window]) } }
        var inputs = targets
        if let embedding = start.weights[WeightKey(.embedding)] {
            let rounded = try folded.copy()
            rounded.weights.embedding = try embedding.tensor()
            inputs = try windows.map { window in try withNoGrad { try rounded.embed([window]) } }
        }
        for layer in 0..<folded.configuration.layerCount {
            let teacher = try folded.copy()
            teacher.attentionForm = .softmax
            for index in targets.indices {
                targets[index] = try withNoGrad { try teacher.blockForward(layer, targets[index]) }
            }
            let problem = try LearningProblem(stage, plan, folded: folded, start: start, layer: layer)
            let block = BlockLoss(problem: problem, layer: layer, inputs: inputs, targets: targets)
            let calibrated = try unchanged(folded, start, layer: layer)
            let check = Array(stride(from: 0, to: windows.count, by: max(1, windows.count / Self.checkWindows)))
            let before = try BlockLoss(problem: calibrated, layer: layer, inputs: inputs, targets: targets)
                .value(check)
            let loop = LearningLoop(
                problem: problem, name: "stage-\(index)-block-\(layer)", run: run, progress: progress)
            let finished = try loop.run(
                order: try batches(of: windows.count), phase: "learn block \(layer + 1)",
                of: folded.configuration.layerCount
            ) { batch, _ in try block.backward(batch) }
            let after = finished ? try block.value(check) : .nan
            run?.log([
                "stage": .integer(index), "block": .integer(layer), "before": .measured(before),
                "after": .measured(after),
                "rolled_back": .bool(!(after <= before)),
            ])
            var used = problem
            if !(after <= before) {
                progress?.update(
                    phase: "learn", completed: layer + 1, total: folded.configuration.layerCount,
                    note: "block \(layer) rolled back: its error went from \(before) to \(after)")
                used = calibrated
            }
            try used.store(in: &outcome.result)
            let learnt = try used.folded.copy()
            try used.fold(into: learnt)
            try used.measureWideRanges(&outcome.result) { observer in
                for index in inputs.indices {
                    inputs[index] = try used.student.blockForward(layer, inputs[index], visitor: observer)
                }
            }
            folded.weights.blocks[layer] = learnt.weights.blocks[layer]
            if let turned = learnt.prefix, let kept = folded.prefix {
                var blocks = kept.blocks
                blocks[layer] = turned.blocks[layer]
                folded.prefix = Prefix(tokens: kept.tokens, blocks: blocks)
            }
        }
    }
}

/// The loss of the whole network on windows of text.
struct NetworkLoss {
    private let problem: LearningProblem
    private let teacher: Teacher
    private let objective: OutputObjective

    init(_ problem: LearningProblem) throws {
        self.problem = problem
        let decoder = try problem.folded.copy()
        // The same function in real numbers, with libtorch's fused attention.
        decoder.attentionForm = .softmax
        teacher = Teacher(decoder: decoder, isNormalized: problem.stage.objective != .lastHidden)
        objective = OutputObjective(teacherHead: decoder.outputHead, studentHead: problem.student.outputHead)
    }

    /// The student's output that the objective looks at, `[n, hidden]`, in the basis of the teacher.
    func output(_ batch: [[Int32]]) throws -> Tensor {
        problem.visitor.beginPass()
        return try end(problem.student.hiddenStates(batch, visitor: problem.visitor))
    }

    /// What follows the last block.
    private func end(_ hidden: Tensor) throws -> Tensor {
        var x = hidden
        if problem.stage.objective != .lastHidden {
            x = try problem.student.normalizedHidden(x, visitor: problem.visitor)
        }
        x = try x.reshape([-1, problem.folded.configuration.hiddenSize])
        return try problem.visitor.residual?.rotate(x, inverse: true) ?? x
    }

    func loss(_ output: Tensor, _ batch: [[Int32]]) throws -> (loss: Double, gradient: Tensor) {
        let student = try output.detach()
        if problem.stage.objective == .crossEntropy {
            var next: [Int64] = []
            for window in batch { next += window.dropFirst().map { Int64($0) } + [-1] }
            return try objective.crossEntropy(student: student, tokens: next)
        }
        return try withNoGrad {
            let target = try teacher.output(batch)
            if problem.stage.objective == .lastHidden {
                let difference = try student - target
                let mean = try difference.square().mean(dtype: .float64).item()
                return (mean, try difference * (2 / Double(student.count)))
            }
            return try objective.divergence(student: student, teacher: target)
        }
    }

    /// The loss of a batch; adds its gradient to the parameters.
    ///
    /// Only the hidden states between blocks are kept on the way forward; on the way back each block runs again, so that never more
    /// than one block's activations are in memory (activation checkpointing, Chen et al. 2016).
    func backward(_ batch: [[Int32]], step: Int) throws -> Double {
        let (student, visitor) = (problem.student, problem.visitor)
        visitor.beginPass()
        var hidden: [Tensor] = []
        let output = try withNoGrad {
            hidden.append(try student.embed(batch, visitor: visitor))
            for layer in 0..<student.configuration.layerCount {
                hidden.append(try student.blockForward(layer, hidden[layer], visitor: visitor))
            }
            return try end(hidden[student.configuration.layerCount])
        }
        var (loss, gradient) = try loss(output, batch)
        guard loss.isFinite else { return loss }
        visitor.collectsLocalErrors = problem.stage.localWeight > 0 && step < problem.stage.localSteps
        defer { visitor.collectsLocalErrors = false }
        try propagate(&gradient, to: hidden.removeLast(), end)
        for layer in hidden.indices.reversed() {
            try propagate(&gradient, to: hidden.removeLast()) {
                try student.blockForward(layer, $0, visitor: visitor)
            }
        }
        visitor.beginPass()
        return loss
    }

    /// Runs a part again, adds what `gradient`, of its output, and its local errors mean for its parameters, and makes it that of its
    /// input.
    private func propagate(
        _ gradient: inout Tensor, to input: Tensor, _ part: (Tensor) throws -> Tensor
    ) throws {
        problem.visitor.beginPass()
        let x = try input.detach().requiresGrad(true)
        try part(x).backward(gradient: gradient)
        let errors = problem.visitor.localErrors
        if let first = errors.first {
            let sum = try errors.dropFirst().reduce(first) { try $0 + $1 }
            if sum.requiresGrad { try (sum * problem.stage.localWeight).backward() }
        }
        if let found = try x.grad() { gradient = found }
    }

    /// The mean loss over windows.
    func value(_ windows: [[Int32]]) throws -> Double {
        try withNoGrad {
            try windows.map { try loss(try output([$0]), [$0]).loss }.reduce(0, +) / Double(max(windows.count, 1))
        }
    }
}

/// What the float model puts out on windows: the same every time that a window comes up, so it is computed once while it fits.
private final class Teacher {
    private let decoder: Decoder
    private let isNormalized: Bool
    private var known: [[Int32]: Tensor] = [:]
    private var room = 512 << 20

    init(decoder: Decoder, isNormalized: Bool) { (self.decoder, self.isNormalized) = (decoder, isNormalized) }

    /// `[n, hidden]` for the tokens of all windows: what the head reads, or the last block's output.
    func output(_ windows: [[Int32]]) throws -> Tensor {
        let parts = try windows.map { window in
            if let output = known[window] { return output }
            let hidden = try decoder.hiddenStates([window])
            let output = try (isNormalized ? decoder.normalizedHidden(hidden) : hidden).squeeze(0)
            let size = output.count * MemoryLayout<Float>.size
            if size <= room {
                room -= size
                known[window] = output
            }
            return output
        }
        return try Tensor.cat(parts, dim: 0)
    }
}

/// The squared error of one block's output, on the output of the quantised network before it.
private struct BlockLoss {
    let problem: LearningProblem
    let layer: Int
    let inputs: [Tensor]
    let targets: [Tensor]

    func backward(_ batch: [Int]) throws -> Double {
        problem.visitor.beginPass()
        let x = try Tensor.cat(batch.map { inputs[$0] }, dim: 0)
        let target = try Tensor.cat(batch.map { targets[$0] }, dim: 0)
        let output = try problem.student.blockForward(layer, x, visitor: problem.visitor)
        let loss = try output.meanSquaredError(target)
        let value = try loss.item()
        if value.isFinite { try loss.backward() }
        return value
    }

    func value(_ windows: [Int]) throws -> Double {
        problem.visitor.beginPass()
        return try withNoGrad {
            try windows.map { window in
                try problem.student.blockForward(layer, inputs[window], visitor: problem.visitor)
                    .meanSquaredError(targets[window]).item()
            }.reduce(0, +) / Double(max(windows.count, 1))
        }
    }
}
