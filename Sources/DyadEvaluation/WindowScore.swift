import Dispatch

/// What the reference says about a window: its logits, kept to be compared with.
final class ReferenceWindow {
    private let logits: UnsafeMutableBufferPointer<Float>
    private let vocabulary: Int
    /// Negative log-likelihood of tokens 2 ... n.
    private(set) var losses: [Double] = []
    private(set) var rows: [LogitRow] = []
    private let next: [Int]

    init(_ model: any LanguageModel, _ window: [Int32]) throws {
        vocabulary = model.vocabularySize
        next = window.dropFirst().map { Int($0) }
        // Bounded by the model itself, which computes as much.
        logits = .allocate(capacity: (window.count - 1) * vocabulary)
        let (logits, vocabulary) = (logits, vocabulary)
        try model.evaluate(window: window) { range, values in
            let scored = range.clamped(to: 0..<window.count - 1)
            _ = UnsafeMutableBufferPointer(
                rebasing: logits[scored.lowerBound * vocabulary..<scored.upperBound * vocabulary]
            )
            .update(fromContentsOf: values.prefix(scored.count * vocabulary))
        }
        rows = logitRows(UnsafeBufferPointer(logits), vocabulary)
        losses = rows.indices.map { rows[$0].negativeLogLikelihood(of: next[$0]) }
    }

    /// The mean negative log-likelihood of tokens 2 ... n at each temperature, in nats.
    func temperedMeans(_ temperatures: [Float]) -> [Double] {
        temperedSums(temperatures, rows, next).map { $0 / Double(next.count) }
    }

    /// The mean negative log-likelihood of some tokens, in nats.
    func meanLoss(of tokens: [Range<Int>]) -> Double {
        var scored: [Double] = []
        for range in tokens { scored += losses[max(range.lowerBound, 1) - 1..<max(range.upperBound, 1) - 1] }
        return mean(scored)
    }

    deinit { logits.deallocate() }
}

/// How one model did on one window.
struct WindowScore {
    /// Mean negative log-likelihood of the scored tokens, in nats.
    var meanLoss = 0.0
    /// Mean KL(reference ‖ model).
    var meanDivergence: Double?
    /// Share of positions whose likeliest token is the reference's.
    var agreement: Double?
    /// ``meanLoss`` with the logits divided by each temperature.
    var temperedMeans: [Double]
    /// Positions scored.
    var count: Int

    /// - Parameter tokens: which tokens of the window are scored, in order; nil for all but the first.
    init(
        _ model: any LanguageModel, _ window: [Int32], tokens: [Range<Int>]? = nil,
        against reference: ReferenceWindow?, temperatures: [Float] = []
    ) throws {
        temperedMeans = temperatures.map { _ in 0 }
        // The position before a token predicts it.
        let wanted = tokens?.map { max($0.lowerBound, 1) - 1..<max($0.upperBound, 1) - 1 } ?? [0..<window.count - 1]
        count = wanted.reduce(0) { $0 + $1.count }
        let (vocabulary, count) = (model.vocabularySize, count)
        var (loss, divergence, agreements) = (0.0, 0.0, 0)
        try model.evaluate(window: window) { range, values in
            for scored in wanted.map({ $0.clamped(to: range) }) where !scored.isEmpty {
                let first = (scored.lowerBound - range.lowerBound) * vocabulary
                let rows = logitRows(
                    UnsafeBufferPointer(rebasing: values[first..<first + scored.count * vocabulary]), vocabulary)
                let next = scored.map { Int(window[$0 + 1]) }
                for (row, position) in zip(rows, scored) {
                    loss += row.negativeLogLikelihood(of: Int(window[position + 1]))
                    if let reference, reference.rows[position].argmax == row.argmax { agreements += 1 }
                }
                for (index, sum) in temperedSums(temperatures, rows, next).enumerated() {
                    temperedMeans[index] += sum / Double(count)
                }
                if let reference {
                    let first = scored.lowerBound
                    divergence += concurrentMap(rows.count) { reference.rows[first + $0].divergence(from: rows[$0]) }
                        .reduce(0, +)
                }
            }
        }
        meanLoss = loss / Double(count)
        guard reference != nil else { return }
        meanDivergence = divergence / Double(count)
        agreement = Double(agreements) / Double(count)
    }
}

/// Σ of the negative log-likelihoods of each row's next token, for each temperature.
private func temperedSums(_ temperatures: [Float], _ rows: [LogitRow], _ next: [Int]) -> [Double] {
    temperatures.map { temperature in
        concurrentMap(rows.count) { rows[$0].negativeLogLikelihood(of: next[$0], temperature: temperature) }.reduce(
            0, +)
    }
}

/// The rows of a matrix of logits, normalised on all cores.
func logitRows(_ values: UnsafeBufferPointer<Float>, _ vocabulary: Int) -> [LogitRow] {
    concurrentMap(values.count / vocabulary) { row in
        LogitRow(UnsafeBufferPointer(rebasing: values[row * vocabulary..<(row + 1) * vocabulary]))
    }
}

/// `body` of 0 ..< count, on all cores, in order.
private func concurrentMap<Element>(_ count: Int, _ body: (Int) -> Element) -> [Element] {
    // Both closures only read, and each index is written once.
    nonisolated(unsafe) let body = body
    return [Element](unsafeUninitializedCapacity: count) { buffer, initialised in
        nonisolated(unsafe) let slots = buffer
        DispatchQueue.concurrentPerform(iterations: count) { index in
            slots.initializeElement(at: index, to: body(index))
        }
        initialised = count
    }
}
