import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Learns ranges, weight scales and rounding of the whole network at once against the float network's output, starting from
/// what calibration found.
///
/// The float weights are the teacher and never change. Memory: the float model, four numbers for every learnt weight
/// (latent, gradient, two moments), and the activations of one batch.
struct EndToEndLearner {
    /// The float decoder after every equivalent transform.
    let folded: Decoder
    let recipe: Recipe
    let learning: Recipe.Learning
    let windows: [[Int32]]
    let exponentialType: IntegerType
    let seed: UInt64
    let progress: ProgressReporter?

    /// Improves a calibration's result.
    func run(_ start: Calibrator.Result) throws -> Calibrator.Result {
        let grids = SiteGrids(recipe: recipe, hasOnlineRotation: folded.onlineRotation != nil)
        var encodings: [SiteKey: LearnableEncoding] = [:]
        for (key, encoding) in start.encodings {
            guard let grid = grids.grid(key), grid != .centred16 else { continue }
            encodings[key] = try LearnableEncoding(encoding, grid: grid)
        }
        var weights: [WeightKey: LearnableWeight] = [:]
        let student = try folded.copy()
        for (key, rounded) in start.weights {
            guard let float = folded.weights[key] else { continue }
            if key.layer != nil {
                weights[key] = try LearnableWeight(rounded, float: float)
            } else {
                student.weights[key] = try Tensor(rounded.dequantized, shape: float.shape)
            }
        }
        let visitor = LearningVisitor(encodings: encodings, weights: weights, exponentialType: exponentialType)
        try optimise(student, visitor)

        var result = start
        for (key, encoding) in encodings { result.encodings[key] = try encoding.encoding() }
        for (key, weight) in weights { result.weights[key] = try weight.rounded() }
        try measureWideRanges(&result, grids, student, visitor)
        return result
    }

    private func optimise(_ student: Decoder, _ visitor: LearningVisitor) throws {
        let teacher = try folded.copy()
        // The same function in real numbers, with libtorch's fused attention.
        teacher.attentionForm = .softmax
        guard let teacherHead = teacher.weights.head, let studentHead = student.weights.head else {
            preconditionFailure("transforms untie the head")
        }
        let distillation = Distillation(
            teacherHead: teacherHead.weight, teacherBias: teacherHead.bias, studentHead: studentHead.weight,
            studentBias: studentHead.bias)
        let rates = learning.rates
        // In a fixed order: dictionaries have none.
        let encodings = visitor.encodings.keys.sorted().compactMap { visitor.encodings[$0] }
        let weights = visitor.weights.keys.sorted { $0.name < $1.name }.compactMap { visitor.weights[$0] }
        let baseRates = [rates.activations, rates.weightScales, rates.rounding * Double(weights.first?.largest ?? 1)]
        let optimizer = AdamW([
            ParameterGroup(encodings.flatMap(\.parameters), learningRate: 0),
            ParameterGroup(weights.map(\.logScale), learningRate: 0),
            ParameterGroup(weights.map(\.latent), learningRate: 0),
        ])
        let schedule = LearningRateSchedule(.cosine(minimum: 0.02), steps: learning.steps, warmUp: learning.warmUp)
        var order = try BatchOrder(count: windows.count, batch: learning.batch, seed: seed)
        var mean = RunningMean()
        for step in 0..<learning.steps {
            let batch = try order.next().map { windows[$0] }
            let target = try withNoGrad {
                try teacher.normalizedHidden(try teacher.hiddenStates(batch)).reshape([-1, folded.configuration.hiddenSize])
            }
            let output = try student.normalizedHidden(
                try student.hiddenStates(batch, visitor: visitor), visitor: visitor
            ).reshape([-1, folded.configuration.hiddenSize])
            let (loss, gradient) = try distillation.divergence(student: output.detach(), teacher: target)
            guard loss.isFinite else {
                throw DyadError(
                    .failed, subject: "learning step \(step)", found: "a loss of \(loss)", expected: "a finite loss",
                    remedy: "Lower the recipe's learning rates.")
            }
            try output.backward(gradient: gradient)
            let factor = schedule.factor(at: step)
            for index in baseRates.indices { optimizer.groups[index].learningRate = baseRates[index] * factor }
            try optimizer.step()
            try optimizer.zeroGrad()
            mean.add(loss)
            progress?.update(phase: "learn", completed: step + 1, total: learning.steps, note: "KL \(mean.text)")
        }
    }

    /// Ranges of the 16-bit tensors, in the network as it was learnt.
    private func measureWideRanges(
        _ result: inout Calibrator.Result, _ grids: SiteGrids, _ student: Decoder, _ visitor: LearningVisitor
    ) throws {
        let observer = ExtremesVisitor(inner: visitor, grids: grids)
        for start in stride(from: 0, to: windows.count, by: max(1, windows.count / 16)) {
            _ = try withNoGrad {
                try student.normalizedHidden(try student.hiddenStates([windows[start]], visitor: observer), visitor: observer)
            }
        }
        for (key, range) in observer.ranges {
            // As calibration does: headroom ×2.
            result.encodings[key] = Grid.centred16.encoding(low: 2 * range.low, high: 2 * range.high)
        }
    }
}

/// Notes the extremes of the 16-bit tensors on the way through another visitor.
private final class ExtremesVisitor: SiteVisitor {
    private(set) var ranges: [SiteKey: (low: Double, high: Double)] = [:]
    private let inner: LearningVisitor
    private let grids: SiteGrids
    private var weights: [WeightKey: Tensor] = [:]

    init(inner: LearningVisitor, grids: SiteGrids) { (self.inner, self.grids) = (inner, grids) }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        if let known = weights[key] { return known }
        let made = try inner.weight(key, w)
        weights[key] = made
        return made
    }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        if grids.grid(key) == .centred16 {
            let (low, high) = try x.extrema()
            let known = ranges[key] ?? (0, 0)
            ranges[key] = (min(known.low, low), max(known.high, high))
        }
        return try inner.visit(key, x)
    }
}

/// The windows of every batch: permutations of all windows, one after another.
struct BatchOrder {
    private let count: Int
    private let batch: Int
    private let generator: Generator
    private var rest: [Int] = []

    init(count: Int, batch: Int, seed: UInt64) throws(DyadError) {
        (self.count, self.batch) = (count, batch)
        generator = try Generator(seed: seed)
    }

    mutating func next() throws(DyadError) -> [Int] {
        while rest.count < min(batch, count) {
            rest += try Tensor.randperm(count, generator: generator).toArray(Int64.self).map { Int($0) }
        }
        defer { rest.removeFirst(min(batch, count)) }
        return Array(rest.prefix(min(batch, count)))
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
        return String(Double((mean * 100_000).rounded() / 100_000))
    }
}
