import DyadTensor
import DyadTransformer

/// A loss on what the network puts out, with its gradient with respect to the student's normalised final hidden states.
///
/// The head is the largest matrix of a small model, and logits the largest tensor: they exist for a few positions at a time,
/// and their gradient is written down instead of recorded.
struct OutputObjective {
    /// The heads of the float model and of the program.
    let teacherHead: OutputHead
    let studentHead: OutputHead
    private static let positions = 256

    /// The mean over positions of KL(teacher ‖ student).
    ///
    /// - Parameters:
    ///   - student: what the head reads, `[n, hidden]`.
    ///   - teacher: the same of the float model.
    func divergence(student: Tensor, teacher: Tensor) throws -> (loss: Double, gradient: Tensor) {
        try overPositions(student) { start, length, logits in
            let target = try teacherHead.logits(try teacher.narrow(0, start: start, length: length))
            // KL = Σ p (t − s) − log Σ eᵗ + log Σ eˢ for one position; its derivative with respect to s is q − p.
            let normalizers = try (logits.logsumexp([-1]) - target.logsumexp([-1])).sum(dtype: .float64).item()
            let probabilities = try target.softmax(-1)
            try target.addInPlace(logits, factor: -1)
            let loss = try (probabilities * target).sum(dtype: .float64).item() + normalizers
            let difference = try logits.softmax(-1)
            try difference.addInPlace(probabilities, factor: -1)
            return (loss, difference)
        }
    }

    /// The mean negative log-likelihood of `tokens`, int64 `[n]`; positions with a negative token do not count.
    func crossEntropy(student: Tensor, tokens: [Int64]) throws -> (loss: Double, gradient: Tensor) {
        let counted = tokens.count { $0 >= 0 }
        let (loss, gradient) = try overPositions(student) { start, length, logits in
            let part = Array(tokens[start..<start + length])
            let index = try Tensor(part.map { max($0, 0) }).unsqueeze(1)
            let mask = try Tensor(part.map { $0 < 0 }).unsqueeze(1)
            let likelihoods = try logits.gather(1, index) - logits.logsumexp([-1], keepDim: true)
            let difference = try logits.softmax(-1)
            let atTokens = try difference.gather(1, index) - 1
            return (
                -(try likelihoods.maskedFill(mask, 0).sum(dtype: .float64).item()),
                try difference.scatter(1, index, atTokens).maskedFill(mask, 0)
            )
        }
        // The mean is over the counted positions.
        let factor = Double(tokens.count) / Double(max(counted, 1))
        return (loss * factor, try gradient * factor)
    }

    private func overPositions(
        _ student: Tensor, _ part: (_ start: Int, _ length: Int, _ logits: Tensor) throws -> (Double, Tensor)
    ) throws -> (loss: Double, gradient: Tensor) {
        try withNoGrad {
            let count = try student.size(0)
            var (loss, gradients) = (0.0, [Tensor]())
            for start in stride(from: 0, to: count, by: Self.positions) {
                let length = min(Self.positions, count - start)
                let logits = try studentHead.logits(try student.narrow(0, start: start, length: length))
                let (partial, difference) = try part(start, length, logits)
                loss += partial
                gradients.append(try studentHead.backward(difference, logits: logits))
            }
            let gradient = try Tensor.cat(gradients, dim: 0)
            try gradient.multiplyInPlace(1 / Double(count))
            return (loss / Double(count), gradient)
        }
    }
}
