import DyadFormats
import DyadGraph

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Equatable {
    /// 0 takes the most likely token; 1 samples from the model's own distribution.
    public var temperature: Double
    /// Only so many most likely tokens; 0 for all.
    public var topK: Int
    /// Only the most likely tokens that together have this probability; 1 for all.
    public var topP: Double
    /// Only tokens at least this fraction as likely as the most likely one; 0 for all.
    public var minP: Double
    /// Logits of tokens already there are divided (if positive) or multiplied (if negative) by it; 1 for no change.
    public var repetitionPenalty: Double
    /// Equal seeds choose equal tokens.
    public var seed: UInt64

    /// Creates options; the defaults are greedy.
    public init(
        temperature: Double = 0, topK: Int = 0, topP: Double = 1, minP: Double = 0, repetitionPenalty: Double = 1,
        seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }
}

/// Chooses tokens from integer logits (scale 2⁻¹⁶).
///
/// Weights are the integer exponentials of the program itself (``FixedPoint/exponential(unit:exponent:)``) and the draw is
/// an integer below their sum, so a seed gives the same text on every machine.
public struct Sampler: Sendable {
    private let options: SamplingOptions
    private var random: RandomSource
    /// log₂e / temperature in units of 2⁻³²: logits (2⁻¹⁶) to exponents of two (2⁻²⁴).
    private let exponentFactor: Int64

    /// The weight of the most likely token.
    private static let unit: Int64 = 1 << 30

    /// Creates a sampler.
    ///
    /// - Throws: ``DyadError`` (usage) where an option is out of range.
    public init(_ options: SamplingOptions) throws(DyadError) {
        func require(_ condition: Bool, _ name: String, _ value: Double, _ expected: String) throws(DyadError) {
            guard condition else {
                throw DyadError(
                    .usage, subject: name, found: "\(value)", expected: expected,
                    remedy: "Choose a value in this range.")
            }
        }
        let temperature = options.temperature
        try require(
            temperature == 0 || (0.001...1000).contains(temperature), "temperature", temperature, "0, or 0.001 to 1000")
        try require(options.topK >= 0, "top-k", Double(options.topK), "0 or more")
        try require(options.topP > 0 && options.topP <= 1, "top-p", options.topP, "more than 0, at most 1")
        try require((0...1).contains(options.minP), "min-p", options.minP, "0 to 1")
        try require(
            (0.01...100).contains(options.repetitionPenalty), "repetition penalty", options.repetitionPenalty,
            "0.01 to 100")
        self.options = options
        random = RandomSource(seed: options.seed)
        exponentFactor = temperature == 0 ? 0 : Int64((1.4426950408889634 / temperature * 4_294_967_296).rounded())
    }

    /// The index of the largest logit, the lowest among equals.
    public static func greedy(_ logits: [Int32]) -> Int32 {
        var best = 0
        for (index, logit) in logits.enumerated() where logit > logits[best] { best = index }
        return Int32(best)
    }

    /// Chooses the token that follows.
    ///
    /// - Parameters:
    ///   - logits: `[vocabulary]`, not empty.
    ///   - history: the tokens so far, for the repetition penalty; ids outside the vocabulary do not matter.
    /// - Cost: linear in the vocabulary, and a sort of the tokens that are not hopeless when top-k or top-p is on.
    public mutating func next(_ logits: [Int32], history: [Int32]) -> Int32 {
        precondition(!logits.isEmpty)
        let logits = penalised(logits, history)
        if options.temperature == 0 { return Self.greedy(logits) }
        let candidates = kept(weighted(logits))
        var rest = random.next(below: candidates.reduce(0) { $0 + $1.weight })
        for candidate in candidates {
            if rest < candidate.weight { return candidate.token }
            rest -= candidate.weight
        }
        preconditionFailure("the draw is below the sum of the weights")
    }

    private struct Candidate {
        let token: Int32
        let weight: UInt64
    }

    private func penalised(_ logits: [Int32], _ history: [Int32]) -> [Int32] {
        guard options.repetitionPenalty != 1 else { return logits }
        var logits = logits
        for token in Set(history) where logits.indices.contains(Int(token)) {
            let logit = Double(logits[Int(token)])
            let changed = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty
            logits[Int(token)] = Int32(max(Double(Int32.min), min(Double(Int32.max), changed.rounded())))
        }
        return logits
    }

    /// Tokens in the order of their ids with their weights; those below half of a unit are gone.
    private func weighted(_ logits: [Int32]) -> [Candidate] {
        let maximum = Int64(logits.max() ?? 0)
        // A weight of less than half a unit, 2^−32 of the largest, rounds to 0: left out, and the products below fit 64 bits.
        let reach = (Int64(1) << 53) / exponentFactor + 1
        var candidates: [Candidate] = []
        for (token, logit) in logits.enumerated() where maximum - Int64(logit) <= reach {
            let weight = FixedPoint.exponential(
                unit: Self.unit, exponent: ((Int64(logit) - maximum) * exponentFactor) >> 24)
            if weight > 0 { candidates.append(Candidate(token: Int32(token), weight: UInt64(weight))) }
        }
        return candidates
    }

    /// Applies top-k, then top-p, then min-p, in the order of the other tools.
    private func kept(_ all: [Candidate]) -> [Candidate] {
        var candidates = all
        if options.topK > 0 || options.topP < 1 {
            candidates.sort { ($1.weight, $0.token) < ($0.weight, $1.token) }
            if options.topK > 0 { candidates = Array(candidates.prefix(options.topK)) }
        }
        if options.topP < 1 {
            let total = candidates.reduce(0) { $0 + $1.weight }
            let wanted = UInt64((Double(total) * options.topP).rounded(.up))
            var (sum, count) = (UInt64(0), 0)
            while sum < wanted, count < candidates.count {
                sum += candidates[count].weight
                count += 1
            }
            candidates = Array(candidates.prefix(max(count, 1)))
        }
        if options.minP > 0 {
            let least = UInt64((Double(Self.unit) * options.minP).rounded(.up))
            candidates = candidates.filter { $0.weight >= least }
        }
        return candidates
    }
}
