import DyadFormats
import DyadTensor

/// Samples text from a float decoder, many sequences at a time: how a model writes its own calibration text.
///
/// Deterministic: every sequence draws from its own stream, which follows from the seed and the sequence's number. (A
/// number drawn exactly between two tokens may still fall differently where another machine rounds the logits
/// differently.) A decoder in bfloat16 is several times faster than one in float32 on a CPU that has instructions for it
/// (``Torch/multipliesBFloat16``), and several times slower on any other.
public struct FloatGenerator {
    /// The model.
    public let decoder: Decoder
    /// What logits are divided by, above 0.
    public var temperature: Float = 1
    /// Only the k likeliest tokens; nil for all.
    public var topK: Int?
    /// Only the likeliest tokens that together have this probability, in (0, 1]; nil for all.
    public var topP: Float?
    /// Ids that are never drawn, for example the end of the text.
    public var suppressed: [Int32] = []

    /// Creates a generator of plain samples (temperature 1, all tokens).
    public init(_ decoder: Decoder) {
        self.decoder = decoder
    }

    /// Sequences of `length` tokens, of which some are given and the others sampled.
    ///
    /// - Parameters:
    ///   - count: number of sequences.
    ///   - length: tokens of each; an end-of-text token does not end a sequence (see `suppressed`).
    ///   - given: the next token of a sequence by its number and its tokens so far; nil for a sampled one. A sampled first
    ///     token is drawn from the whole vocabulary (as in LLM-QAT, Liu et al. 2023), none of `suppressed` among them.
    ///     Asked once a token, in order.
    ///   - seed: equal seeds give equal text.
    ///   - batch: sequences generated together; more is faster and takes more memory for the KV cache.
    ///   - progress: called after every step with the share done, 0 ... 1.
    ///
    /// Throws `.usage` for settings out of range.
    public func sample(
        count: Int, length: Int, given: (_ sequence: Int, _ tokens: [Int32]) -> Int32? = { _, _ in nil }, seed: UInt64,
        batch: Int = 64, progress: (Double) throws -> Void = { _ in }
    ) throws -> [[Int32]] {
        try checkSettings(count: count, length: length, batch: batch)
        let banned = try suppressionMask()
        var sequences: [[Int32]] = []
        while sequences.count < count {
            let first = sequences.count
            let rows = min(batch, count - first)
            var streams = (first..<first + rows).map { RandomStream(seed: seed, stream: UInt64($0)) }
            var texts = streams.indices.map { [given(first + $0, []) ?? firstToken(&streams[$0])] }
            let cache = try KeyValueCache(decoder: decoder, batch: rows, capacity: length)
            for step in 1..<length {
                let probabilities = try withNoGrad {
                    let hidden = try decoder.hiddenStates(texts.map { [$0[step - 1]] }, cache: cache)
                    var logits = try decoder.finalLogits(hidden).to(.cpu, dtype: .float32) / temperature
                    if let banned { logits = try logits.maskedFill(banned, -Double.infinity) }
                    return try logits.softmax(-1).contiguous()
                }
                try probabilities.withUnsafeBytes { bytes in
                    let values = bytes.bindMemory(to: Float.self)
                    let vocabulary = values.count / rows
                    for row in 0..<rows {
                        let part = UnsafeBufferPointer(rebasing: values[row * vocabulary..<(row + 1) * vocabulary])
                        let token = given(first + row, texts[row]) ?? draw(part, streams[row].uniform())
                        texts[row].append(token)
                    }
                }
                let done = Double(first) + Double(rows) * Double(step) / Double(length - 1)
                try progress(done / Double(count))
            }
            sequences += texts
        }
        return sequences
    }

    /// What the model writes behind prompts, many at a time.
    ///
    /// - Parameters:
    ///   - prompts: not empty each; the decoder's prefix stands before all of them.
    ///   - maximumTokens: of each answer.
    ///   - ends: tokens that end an answer; they belong to it.
    ///   - batch: answers that are written together.
    ///   - choose: the next token of a prompt's answer, by the prompt's number and the logits; nil takes the likeliest. Asked
    ///     once a token, in order.
    ///   - progress: called after every batch with the answers done.
    /// - Returns: for each prompt the answer's tokens, and by how many nats the likeliest was ahead of the next best at each.
    public func answers(
        to prompts: [[Int32]], maximumTokens: Int, ends: Set<Int32>, batch: Int = 32,
        choose: ((_ prompt: Int, _ logits: [Float]) -> Int32)? = nil, progress: (Int) throws -> Void = { _ in }
    ) throws -> [[(token: Int32, margin: Float)]] {
        var result = prompts.map { _ in [(token: Int32, margin: Float)]() }
        // Prompts of like length together, so that most of each is read at once.
        let order = prompts.indices.sorted { (prompts[$0].count, $0) < (prompts[$1].count, $1) }
        for start in stride(from: 0, to: order.count, by: batch) {
            let rows = order[start..<min(start + batch, order.count)]
            var texts = rows.map { prompts[$0] }
            let cache = try KeyValueCache(
                decoder: decoder, batch: rows.count, capacity: (texts.last?.count ?? 0) + maximumTokens)
            var input = texts.map { $0.prefix(texts[0].count) }
            var unfinished = Set(rows)
            while true {
                let logits = try nextLogits(input.map(Array.init), cache)
                let best = try logits.topk(2)
                let (values, tokens) = (try best.values.toArray(Float.self), try best.indices.toArray(Int64.self))
                for (index, row) in rows.enumerated() where texts[index].count == cache.length {
                    var token = Int32(tokens[2 * index])
                    // A finished answer goes on until the longest one ends; nobody reads that.
                    if unfinished.contains(row), let choose {
                        token = choose(row, try logits.select(0, index).toArray(Float.self))
                    }
                    texts[index].append(token)
                    guard unfinished.contains(row) else { continue }
                    result[row].append((token, values[2 * index] - values[2 * index + 1]))
                    if ends.contains(token) || result[row].count == maximumTokens { unfinished.remove(row) }
                }
                guard !unfinished.isEmpty else { break }
                input = texts.map { $0[cache.length...cache.length] }
            }
            try progress(start + rows.count)
        }
        return result
    }

    /// The logits behind every row of `input`, `[rows, vocabulary]`.
    private func nextLogits(_ input: [[Int32]], _ cache: KeyValueCache) throws -> Tensor {
        try withNoGrad {
            let hidden = try decoder.hiddenStates(input, cache: cache)
            let last = try hidden.narrow(1, start: input[0].count - 1, length: 1)
            return try decoder.finalLogits(last).to(.cpu, dtype: .float32).squeeze(1)
        }
    }

    /// Any token that is not suppressed.
    private func firstToken(_ stream: inout RandomStream) -> Int32 {
        let allowed = (0..<Int32(clamping: decoder.configuration.vocabularySize)).filter { !suppressed.contains($0) }
        guard !allowed.isEmpty else { return 0 }
        return allowed[Int(stream.uniform() * Double(allowed.count))]
    }

    /// The token at quantile `uniform` of the (restricted, renormalised) distribution.
    private func draw(_ probabilities: UnsafeBufferPointer<Float>, _ uniform: Double) -> Int32 {
        guard let candidates = restricted(probabilities) else {
            return Int32(truncatingIfNeeded: Self.quantile(uniform, probabilities.count) { probabilities[$0] })
        }
        let drawn = Self.quantile(uniform, candidates.count) { candidates[$0].probability }
        return Int32(truncatingIfNeeded: candidates[drawn].token)
    }

    /// The candidates of top-k and top-p, likeliest first; nil without either.
    private func restricted(_ probabilities: UnsafeBufferPointer<Float>) -> [(token: Int, probability: Float)]? {
        guard topK != nil || topP != nil else { return nil }
        // Tokens below this share cannot be in the nucleus: all of them together have less than 1 − topP.
        let least: Float = topK == nil ? (1 - (topP ?? 1)) / Float(probabilities.count) : 0
        var candidates: [(token: Int, probability: Float)] = []
        for (token, probability) in probabilities.enumerated() where probability > 0 && probability >= least {
            candidates.append((token, probability))
        }
        candidates.sort { ($0.probability, $1.token) > ($1.probability, $0.token) }
        if let topK, topK < candidates.count { candidates.removeLast(candidates.count - topK) }
        if let topP {
            // The nucleus is one of what top-k left, if that came first.
            let total = topK == nil ? 1 : candidates.reduce(0) { $0 + Double($1.probability) }
            var sum = 0.0
            let kept = candidates.firstIndex { candidate in
                sum += Double(candidate.probability)
                return sum >= Double(topP) * total
            }
            if let kept { candidates.removeLast(candidates.count - kept - 1) }
        }
        return candidates
    }

    /// True at the suppressed ids, bool `[vocabulary]`; nil when there are none.
    private func suppressionMask() throws(DyadError) -> Tensor? {
        guard !suppressed.isEmpty else { return nil }
        let size = decoder.configuration.vocabularySize
        var mask = [Bool](repeating: false, count: size)
        for id in suppressed where id >= 0 && id < size { mask[Int(id)] = true }
        return try Tensor(mask)
    }

    /// The first index at which the running sum passes `uniform` of the total, summed in double precision.
    private static func quantile(_ uniform: Double, _ count: Int, _ weight: (Int) -> Float) -> Int {
        var total = 0.0
        for index in 0..<count { total += Double(weight(index)) }
        var rest = uniform * total
        var last = 0
        for index in 0..<count {
            let share = Double(weight(index))
            guard share > 0 else { continue }
            rest -= share
            last = index
            if rest < 0 { return index }
        }
        return last
    }

    private func checkSettings(count: Int, length: Int, batch: Int) throws(DyadError) {
        let sound =
            count >= 0 && length >= 2 && batch > 0 && temperature > 0 && temperature.isFinite
            && (topK ?? 1) > 0 && (topP ?? 1) > 0 && (topP ?? 1) <= 1
        guard sound else {
            throw DyadError(
                .usage, subject: "sampling",
                found: "\(count) sequences of \(length) tokens, batch \(batch), temperature \(temperature), "
                    + "top-k \(topK.map(String.init) ?? "off"), top-p \(topP.map { "\($0)" } ?? "off")",
                expected: "at least 2 tokens, batch ≥ 1, temperature > 0, top-k ≥ 1, top-p in (0, 1]",
                remedy: "Correct the setting.")
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one independent stream per sequence.
struct RandomStream {
    private var state: UInt64

    init(seed: UInt64, stream: UInt64) {
        var start = RandomStream(state: seed)
        state = start.next() ^ (stream &* 0xD1B5_4A32_D192_ED03)
        _ = next()
    }

    private init(state: UInt64) { self.state = state }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// In [0, 1), 53 bits.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}
