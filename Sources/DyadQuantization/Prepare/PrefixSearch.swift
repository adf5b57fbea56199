import DyadFormats
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// Chooses the constant prefix: the token whose keys and values, standing first in every cache, take the attention sink
/// (PrefixQuant, Chen et al. 2024).
enum PrefixSearch {
    /// What the first token of a chat template may cost, in nats a token of plain text, before another token is taken.
    static let templateAllowance = 0.02

    /// The first token of the model's chat template, so that a prefix changes nothing in a conversation; or, without a
    /// template or where the float model finds `windows` clearly less likely behind that token, the one behind which it
    /// finds them likeliest, of the tokenizer's special tokens that begin texts and a few that occur anywhere.
    ///
    /// - Complexity: one float forward pass over the windows for each of at most eight candidates.
    static func bestToken(
        _ decoder: Decoder, tokenizer: Tokenizer, windows: [[Int32]], allowance: Double = templateAllowance,
        progress: ProgressReporter?
    ) throws -> Int32 {
        // A tokenizer may know tokens that were added after the model was trained.
        func isKnown(_ id: Int32) -> Bool { id < decoder.configuration.vocabularySize }
        let opening = ConversationScript(tokenizer: tokenizer)?.opening.first.flatMap { isKnown($0) ? $0 : nil }
        var candidates: [Int32] = []
        for id in [opening, tokenizer.bosID].compactMap({ $0 }) + tokenizer.eosIDs where !candidates.contains(id) {
            candidates.append(id)
        }
        for text in ["\n", ".", " the"] {
            let ids = tokenizer.encode(text, parseSpecial: true, addSpecial: false)
            if let id = ids.last, !candidates.contains(id) { candidates.append(id) }
        }
        candidates = Array(candidates.filter(isKnown).prefix(8))
        var losses: [(loss: Double, id: Int32)] = []
        let probe = try decoder.copy()
        for id in candidates {
            probe.prefix = nil
            probe.prefix = try withNoGrad { try probe.computePrefix([id]) }
            let loss = try meanLoss(probe, windows)
            losses.append((loss, id))
            progress?.update(
                phase: "prefix", completed: losses.count, total: candidates.count,
                note: "token \(id): \(loss.formatted(digits: 4)) nats")
        }
        guard let best = losses.filter({ !$0.loss.isNaN }).min(by: { $0.loss < $1.loss }) else {
            throw DyadError(
                .failed, subject: "prefix", found: "no candidate token", expected: "a tokenizer with at least one",
                remedy: "Give the prefix as token ids in the recipe.")
        }
        guard let opening, let first = losses.first(where: { $0.id == opening }) else { return best.id }
        return first.loss <= best.loss + allowance ? opening : best.id
    }

    /// Mean negative log-likelihood of tokens 2…n of each window.
    static func meanLoss(_ decoder: Decoder, _ windows: [[Int32]]) throws -> Double {
        var total = 0.0
        for window in windows {
            total += try withNoGrad {
                let logits = try decoder.forward([window]).select(0, 0).narrow(0, start: 0, length: window.count - 1)
                return try logits.crossEntropy(Tensor(window.dropFirst().map { Int64($0) })).item()
            }
        }
        return total / Double(windows.count)
    }
}

extension Double {
    /// Fixed-point text without Foundation's locale.
    func formatted(digits: Int) -> String {
        guard isFinite else { return "\(self)" }
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let whole = (abs(self) * scale).rounded()
        guard whole < 9e15 else { return "\(self)" }
        let integer = Int(whole)
        let fraction = String(integer % Int(scale))
        let sign = self < 0 && integer != 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(integer)" }
        return "\(sign)\(integer / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
