import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer
import Foundation

/// Measures how much each rounded tensor costs the prediction: the KL divergence of the float network in which this tensor
/// alone is rounded, one forward pass for each, from its own layer on.
///
/// In the network with everything rounded, the change from one tensor less is its own error plus its product with the sum of
/// all others, which has mean zero and drowns it in a thousand tokens. Alone, every error shows, and small ones add up.
final class SensitivityAnalysis {
    private let plan: NetworkPlan
    private let folded: Decoder
    /// The same with libtorch's fused attention.
    private let rest: Decoder
    private let result: QuantizedNetwork
    private let head: OutputHead
    private let target: TokenDistribution
    /// The float network's hidden states in front of every layer, and behind the last.
    private let hidden: [Tensor]
    /// Σ|Q(x) − x| / Σ|x| of every 8-bit site, and its width.
    private let errors: [SiteKey: (ratio: Double, width: Int)]
    private let progress: ProgressReporter?

    /// - Parameter windows: of equal length; a thousand tokens in all tell the tensors apart.
    init(
        _ plan: NetworkPlan, folded: Decoder, result: QuantizedNetwork, windows: [[Int32]],
        progress: ProgressReporter?
    ) throws {
        (self.plan, self.result, self.progress) = (plan, result, progress)
        self.folded = try folded.copy()
        rest = try folded.copy()
        rest.attentionForm = .softmax
        let head = folded.outputHead
        let probe = ErrorProbe(encodings: result.encodings.filter { result.types[$0.key] == .u8 })
        var states = [try withNoGrad { try folded.embed(windows) }]
        for layer in 0..<folded.configuration.layerCount {
            states.append(try withNoGrad { try folded.blockForward(layer, states[layer], visitor: probe) })
        }
        let end = states[folded.configuration.layerCount]
        target = try withNoGrad {
            try TokenDistribution(try folded.normalizedHidden(end, visitor: probe), head: head)
        }
        (hidden, self.head) = (states, head)
        errors = probe.errors
    }

    /// A thousand tokens or less: the first quarter thousand of four windows.
    static func windows(of text: CalibrationText) -> [[Int32]] {
        text.calibration.prefix(4).map { Array($0.prefix(256)) }
    }

    /// KL divergence (nats a token) of the float network seen by `visitor`, as it runs on from `layer`.
    private func divergence(_ visitor: (any SiteVisitor)?, from layer: Int) throws -> Double {
        try withNoGrad {
            var x = hidden[layer]
            for later in layer..<folded.configuration.layerCount {
                // Behind the changed tensor's own layer the fused form of the same function does.
                x = try later == layer ? folded.blockForward(later, x, visitor: visitor) : rest.blockForward(later, x)
            }
            let own = layer == folded.configuration.layerCount ? visitor : nil
            let student = try folded.normalizedHidden(x, visitor: own)
            return try target.divergence(of: TokenDistribution(student, head: head))
        }
    }

    /// Perplexity and KL of the float model and of the networks in which the named tensors are exact.
    func score(
        _ promoted: [Set<String>], windows: [[Int32]]
    ) throws -> (float: Double, networks: [(perplexity: Double, divergence: Double)]) {
        let network = try folded.copy()
        for (key, weight) in result.weights { network.weights[key] = try weight.tensor() }
        let networkHead = network.outputHead
        let visitor = QuantizingVisitor(plan, fixed: result)
        visitor.mode = .quantize
        var float = 0.0
        var sums = promoted.map { _ in (likelihood: 0.0, divergence: 0.0) }
        let sites = Dictionary(result.encodings.keys.map { ($0.name, $0) }) { first, _ in first }
        try withNoGrad {
            for (done, window) in windows.enumerated() {
                let target = try TokenDistribution(
                    try rest.normalizedHidden(try rest.hiddenStates([window])), head: head)
                float += try target.likelihood(of: window)
                for (index, names) in promoted.enumerated() {
                    visitor.exempt = Set(names.compactMap { sites[$0] })
                    let rounded = result.weights.keys.filter { names.contains($0.name) }.map {
                        ($0, network.weights[$0])
                    }
                    for (key, _) in rounded { network.weights[key] = folded.weights[key] }
                    defer { for (key, weight) in rounded { network.weights[key] = weight } }
                    let hidden = try network.normalizedHidden(
                        try network.hiddenStates([window], visitor: visitor), visitor: visitor)
                    let student = try TokenDistribution(hidden, head: networkHead)
                    sums[index].divergence += try target.divergence(of: student)
                    sums[index].likelihood += try student.likelihood(of: window)
                }
                progress?.update(phase: "curves", completed: done + 1, total: windows.count)
            }
        }
        let count = Double(max(windows.count, 1))
        func perplexity(_ likelihood: Double) -> Double { exp(-likelihood / count) }
        return (perplexity(float), sums.map { (perplexity($0.likelihood), $0.divergence / count) })
    }

    /// All tensors that could get more bits and match one of the patterns (none: all).
    func measure(_ patterns: [String]) throws -> [Sensitivity] {
        let weights = plan.recipe.weights.bits == 4 ? result.weights.keys.filter { $0.layer != nil } : []
        let sites = promotableSites(patterns).sorted()
        let candidates = weights.filter { Recipe.matches($0.name, patterns) && result.weights[$0]?.bits == 4 }
            .sorted { $0.name < $1.name }
        var measured: [Sensitivity] = []
        let total = sites.count + candidates.count
        func add(_ sensitivity: Sensitivity) {
            measured.append(sensitivity)
            progress?.update(
                phase: "sensitivity", completed: measured.count, total: total,
                note: "\(sensitivity.tensor) \(Float(sensitivity.divergence)) nats")
        }
        for key in sites {
            guard let encoding = result.encodings[key] else { continue }
            let visitor = SingleSiteVisitor(key: key, encoding: encoding)
            add(
                Sensitivity(
                    tensor: key.name, isWeight: false,
                    divergence: try divergence(visitor, from: key.layer ?? folded.configuration.layerCount),
                    relativeError: errors[key]?.ratio ?? 0, bytes: 0, cycles: additionalCycles(key)))
        }
        for key in candidates {
            guard let float = folded.weights[key], let rounded = try result.weights[key]?.tensor(),
                let layer = key.layer
            else { continue }
            folded.weights[key] = rounded
            defer { folded.weights[key] = float }
            let error = try withNoGrad {
                try (rounded - float).abs().sum().item() / max(float.abs().sum().item(), 1e-30)
            }
            add(
                Sensitivity(
                    tensor: key.name, isWeight: true, divergence: try divergence(nil, from: layer),
                    relativeError: error, bytes: float.count / 2, cycles: 0))
        }
        return measured
    }

    /// The calibrated activations that may be 16 bit, and are not yet.
    func promotableSites(_ patterns: [String]) -> [SiteKey] {
        result.encodings.keys.filter { key in
            plan.grid(key) == .unsigned8 && Recipe.matches(key.name, patterns) && plan.canPromote(key)
        }
    }

    /// Bytes of all integer weights, embedding and head at 8 bit included.
    var weightBytes: Int {
        result.weights.values.reduce(0) { $0 + $1.rows * $1.columns * $1.bits / 8 }
    }

    /// Multiply-accumulates of one token in all linears of the network.
    var cycles: Int {
        (folded.weights.blocks.indices.flatMap { plan.topology.keys(layer: $0) } + [WeightKey(.headWeight)])
            .reduce(0) { $0 + (folded.weights[$1]?.count ?? 0) }
    }

    /// A product with a 16-bit operand costs two at 8 bit; elsewhere every element costs one more.
    private func additionalCycles(_ key: SiteKey) -> Int {
        let linears =
            key.layer.map { layer in
                plan.topology.readers(of: key.site).map { WeightKey($0.weight, layer: layer) }
            } ?? (key.site == .finalNormOutput ? [WeightKey(.headWeight)] : [])
        if !linears.isEmpty { return linears.reduce(0) { $0 + (folded.weights[$1]?.count ?? 0) } }
        return errors[key]?.width ?? 0
    }
}

/// Rounds one site and leaves the others.
private struct SingleSiteVisitor: SiteVisitor {
    let key: SiteKey
    let encoding: Encoding

    func visit(_ other: SiteKey, _ x: Tensor) throws -> Tensor {
        other == key ? try x.fakeQuantized(encoding, .u8) : x
    }
}

/// Measures the rounding error of every site, and changes nothing.
private final class ErrorProbe: SiteVisitor {
    private let encodings: [SiteKey: Encoding]
    private(set) var errors: [SiteKey: (ratio: Double, width: Int)] = [:]

    init(encodings: [SiteKey: Encoding]) { self.encodings = encodings }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        guard let encoding = encodings[key] else { return x }
        let difference = try (x.fakeQuantized(encoding, .u8) - x).abs().sum().item()
        errors[key] = (try difference / (x.abs().sum().item() + 1e-8), try x.size(-1))
        return x
    }
}

/// A network's next-token distribution at every position of a text.
private struct TokenDistribution {
    private let logProbabilities: [Tensor]
    private let count: Int
    private static let positions = 256

    init(_ hidden: Tensor, head: OutputHead) throws {
        let rows = try hidden.reshape([-1, hidden.size(-1)])
        count = try rows.size(0)
        var parts: [Tensor] = []
        for start in stride(from: 0, to: count, by: Self.positions) {
            let part = try rows.narrow(0, start: start, length: min(Self.positions, count - start))
            parts.append(try head.logits(part).logSoftmax())
        }
        logProbabilities = parts
    }

    /// The mean log-likelihood of a window's tokens 2 … n, where the distribution is of exactly this window.
    func likelihood(of window: [Int32]) throws -> Double {
        var sum = 0.0
        for (index, logs) in logProbabilities.enumerated() {
            let start = index * Self.positions
            let targets = window[min(start + 1, window.count)..<min(start + 1 + (try logs.size(0)), window.count)]
            guard !targets.isEmpty else { continue }
            let labels = try Tensor(targets.map { Int64($0) }).unsqueeze(1)
            sum += try logs.narrow(0, start: 0, length: targets.count).gather(1, labels).sum(dtype: .float64).item()
        }
        return sum / Double(max(window.count - 1, 1))
    }

    /// The mean of KL(teacher ‖ student), of the same text.
    func divergence(of student: TokenDistribution) throws -> Double {
        var sum = 0.0
        for (own, other) in zip(logProbabilities, student.logProbabilities) {
            sum += try (own.exp() * (own - other)).sum(dtype: .float64).item()
        }
        return sum / Double(count)
    }
}
