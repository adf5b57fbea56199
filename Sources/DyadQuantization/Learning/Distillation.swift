import DyadTensor

/// What a student's final hidden states are compared with, and the gradient with respect to them.
///
/// The head is the largest matrix of a small model, and logits the largest tensor: they exist for a few positions at a time,
/// and their gradient is written down instead of recorded.
struct Distillation {
    /// `[vocabulary, hidden]` of the float model, and as the integer program has it.
    let teacherHead: Tensor
    let studentHead: Tensor
    let teacherBias: Tensor?
    let studentBias: Tensor?
    private let positions = 128

    init(teacherHead: Tensor, teacherBias: Tensor?, studentHead: Tensor, studentBias: Tensor?) {
        (self.teacherHead, self.teacherBias) = (teacherHead, teacherBias)
        (self.studentHead, self.studentBias) = (studentHead, studentBias)
    }

    /// Mean KL(teacher ‖ student) over positions, and its gradient with respect to `student`.
    ///
    /// - Parameters:
    ///   - student: normalised hidden states `[n, hidden]`, as the head reads them.
    ///   - teacher: the same of the float model.
    func divergence(student: Tensor, teacher: Tensor) throws -> (loss: Double, gradient: Tensor) {
        try withNoGrad {
            let count = try student.size(0)
            var (loss, gradients) = (0.0, [Tensor]())
            for start in stride(from: 0, to: count, by: positions) {
                let length = min(positions, count - start)
                let logits = try student.narrow(0, start: start, length: length)
                    .linear(studentHead, bias: studentBias)
                let target = try teacher.narrow(0, start: start, length: length)
                    .linear(teacherHead, bias: teacherBias)
                // KL = Σ p (t − s) − log Σ eᵗ + log Σ eˢ for one position.
                let normalizers = try (logits.logsumexp([-1]) - target.logsumexp([-1])).sum().item()
                let probabilities = try target.softmax(-1)
                try target.addInPlace(logits, factor: -1)
                loss += try (probabilities * target).sum(dtype: .float64).item() + normalizers
                // dKL/ds = q − p
                let difference = try logits.softmax(-1)
                try difference.addInPlace(probabilities, factor: -1)
                gradients.append(try difference.matmul(studentHead))
            }
            let gradient = try Tensor.cat(gradients, dim: 0)
            try gradient.multiplyInPlace(1 / Double(count))
            return (loss / Double(count), gradient)
        }
    }
}
