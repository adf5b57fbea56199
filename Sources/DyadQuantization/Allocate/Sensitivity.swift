import DyadFormats

/// What one tensor would gain from more bits, and what they would cost.
public struct Sensitivity: Equatable, Sendable {
    /// The tensor's name in the graph; of a weight its name in the checkpoint without `model.`.
    public let tensor: String
    /// Whether it is a weight (4 bits that may become 8) or an activation (8 that may become 16).
    public let isWeight: Bool
    /// KL divergence (nats) from the float model of the network in which this tensor alone is rounded.
    public let divergence: Double
    /// Σ|Q(x) − x| / Σ|x|: the measure of Quant.npu (arXiv 2605.20295).
    public let relativeError: Double
    /// Additional bytes of the file.
    public let bytes: Int
    /// Additional cycles of a token, in multiply-accumulates at 8 bit: a product with a 16-bit operand takes two of them.
    public let cycles: Int

    /// As a line of a run's log or a report.
    public var json: JSONValue {
        .object(
            JSONObject([
                ("tensor", .string(tensor)), ("kind", .string(isWeight ? "weight" : "activation")),
                ("kl", .measured(divergence)), ("relative_error", .measured(relativeError)),
                ("bytes", .integer(bytes)), ("cycles", .integer(cycles)),
            ]))
    }
}

/// Limits on what may get more bits, and how the tensors are chosen.
public struct Allocation: Equatable, Sendable {
    /// What a tensor's worth is.
    public enum Measure: String, CaseIterable, Sendable {
        /// The measured KL divergence.
        case divergence = "kl"
        /// The relative rounding error of the tensor itself (Quant.npu).
        case relativeError = "relative-error"
    }

    /// What a tensor's worth is; nil to try the choices of all measures on calibration text and keep the best.
    public var measure: Measure?
    /// Patterns of the tensors that may get more bits; empty for all that can.
    public var candidates: [String] = []
    /// The largest share of the candidate activations at 16 bit, 0 ... 1; nil for none at all.
    public var sixteenBitShare: Double?
    /// Bytes that all integer weights may take together; nil for no 8-bit weights among 4-bit ones.
    public var weightBytes: Int?
    /// The same relative to nothing promoted, from 1, where no number of bytes is given.
    public var weightGrowth: Double?
    /// The estimated cycles of a token that are permitted, relative to no promotion at all, from 1; nil for no limit.
    public var latency: Double?

    /// Creates an allocation that permits nothing.
    public init() {}

    /// Bytes that all integer weights may take together, which take `bytes` with nothing promoted.
    func limit(bytes: Int) -> Int? {
        weightBytes ?? weightGrowth.map { Int((Double(bytes) * $0).rounded(.down)) }
    }

    /// Chooses tensors greedily, the most worth for its largest share of a budget first; what does not fit is passed over.
    ///
    /// Without a ``measure`` a tensor's worth is the divergence. With one budget this is the greedy solution of the knapsack, optimal but for one item (Quant.npu, arXiv 2605.20295).
    ///
    /// - Parameters:
    ///   - bytes: of all integer weights with nothing promoted.
    ///   - cycles: of a token with nothing promoted.
    /// - Returns: in the order of the choice.
    func chosen(from tensors: [Sensitivity], bytes: Int, cycles: Int) -> [Sensitivity] {
        let sites = tensors.count { !$0.isWeight }
        var siteBudget = Int((Double(sites) * (sixteenBitShare ?? 0)).rounded(.down))
        var byteBudget = limit(bytes: bytes).map { max($0 - bytes, 0) } ?? 0
        var cycleBudget = latency.map { ($0 - 1) * Double(cycles) } ?? .infinity
        let (allSites, allBytes, allCycles) = (siteBudget, byteBudget, cycleBudget)
        func worth(_ tensor: Sensitivity) -> Double {
            measure == .relativeError ? tensor.relativeError : tensor.divergence
        }
        func share(_ tensor: Sensitivity) -> Double {
            let own = tensor.isWeight ? Double(tensor.bytes) / Double(max(allBytes, 1)) : 1 / Double(max(allSites, 1))
            return max(own, allCycles > 0 ? Double(tensor.cycles) / allCycles : .infinity)
        }
        let ranked = tensors.filter { worth($0) > 0 }.sorted {
            let (a, b) = (worth($0) / share($0), worth($1) / share($1))
            return a != b ? a > b : $0.tensor < $1.tensor
        }
        var chosen: [Sensitivity] = []
        for tensor in ranked {
            guard tensor.isWeight ? tensor.bytes <= byteBudget : siteBudget >= 1, Double(tensor.cycles) <= cycleBudget
            else { continue }
            if tensor.isWeight { byteBudget -= tensor.bytes } else { siteBudget -= 1 }
            cycleBudget -= Double(tensor.cycles)
            chosen.append(tensor)
        }
        return chosen
    }
}
