import DyadFormats
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// Chooses the constant prefix: the token whose keys and values, standing first in every cache, take the attention sink
/// (PrefixQuant, Chen et al. 2024).
enum PrefixSearch {
    /// The token under which the float model finds `windows` likeliest, of the tokenizer's special tokens that begin texts
    /// and a few that occur anywhere.
    ///
    /// - Complexity: one float forward pass over the windows for each of at most eight candidates.
    static func bestToken(
        _ decoder: Decoder, tokenizer: Tokenizer, windows: [[Int32]], progress: ProgressReporter?
    ) throws -> Int32 {
        var candidates: [Int32] = []
        for id in [tokenizer.bosID].compactMap({ $0 }) + tokenizer.eosIDs where !candidates.contains(id) {
            candidates.append(id)
        }
        for text in ["<|im_start|>", "\n", ".", " the"] {
            let ids = tokenizer.encode(text, parseSpecial: true, addSpecial: false)
            if let id = ids.last, !candidates.contains(id) { candidates.append(id) }
        }
        // A tokenizer may know tokens that were added after the model was trained.
        candidates.removeAll { $0 >= decoder.configuration.vocabularySize }
        var best: (loss: Double, id: Int32)?
        let probe = try decoder.copy()
        for (index, id) in candidates.prefix(8).enumerated() {
            probe.prefix = nil
            probe.prefix = try withNoGrad { try probe.computePrefix([id]) }
            let loss = try meanLoss(probe, windows)
            if loss < best?.loss ?? .infinity { best = (loss, id) }
            progress?.update(
                phase: "prefix", completed: index + 1, total: min(candidates.count, 8),
                note: "token \(id): \(loss.formatted(digits: 4)) nats")
        }
        guard let best else {
            throw DyadError(
                .failed, subject: "prefix", found: "no candidate token", expected: "a tokenizer with at least one",
                remedy: "Give the prefix as token ids in the recipe.")
        }
        return best.id
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
