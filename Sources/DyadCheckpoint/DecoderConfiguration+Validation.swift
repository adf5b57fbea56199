import DyadFormats

extension DecoderConfiguration {
    /// Checks what the switches must satisfy together.
    /// - Throws: ``DyadError`` `mismatch` (or `malformed` for a number without sense) naming the field.
    func validate(file: String?) throws(DyadError) {
        func check(_ holds: Bool, _ subject: String, _ found: String, _ expected: String) throws(DyadError) {
            guard !holds else { return }
            throw DyadError(
                .mismatch, file: file, subject: subject, found: found, expected: expected,
                remedy:
                    "The configuration contradicts itself: correct it, or take the file as the model's author wrote it."
            )
        }
        try check(
            headCount % keyValueHeadCount == 0, "key-value heads", "\(keyValueHeadCount)",
            "a divisor of the \(headCount) query heads")
        try check(normEpsilon >= 0 && normEpsilon < 1, "norm epsilon", "\(normEpsilon)", "a number from 0 to 1")
        try check(ropeTheta > 0 && ropeTheta.isFinite, "rope theta", "\(ropeTheta)", "a number above 0")
        try check(
            rotaryFraction > 0 && rotaryFraction <= 1, "rotary fraction", "\(rotaryFraction)", "above 0 and at most 1")
        try check(
            rotaryDimension > 0 && rotaryDimension % 2 == 0, "rotary dimension", "\(rotaryDimension)",
            "an even number")
        if case .llama3(_, let low, let high, _) = ropeScaling {
            try check(
                low < high, "rope scaling", "low factor \(low), high factor \(high)", "the low one below the high")
        }
        if case .divided(let factors) = ropeScaling {
            try check(
                factors.count == rotaryDimension / 2 && factors.allSatisfy { $0 > 0 && $0.isFinite },
                "rope_freqs.weight", "\(factors.count) factors", "\(rotaryDimension / 2), all above 0")
        }
    }
}
