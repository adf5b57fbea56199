import Foundation
import Testing

@testable import DyadEvaluation

@Suite("Vectorised statistics")
struct StatisticsTests {
    @Test("the exponential is right to 3·10⁻⁷ for every exponent")
    func exponential() {
        var worst = 0.0
        for step in 0..<200_000 {
            let x = -Float(step) * 87 / 200_000
            let found = Double(vectorExponential(Lanes(repeating: x))[step % Lanes.scalarCount])
            worst = max(worst, abs(found / exp(Double(x)) - 1))
        }
        #expect(worst < 3e-7)
        #expect(vectorExponential(Lanes(repeating: 0))[0] == 1)
        #expect(vectorExponential(Lanes(repeating: -100))[3] == 0)
        #expect(vectorExponential(Lanes(repeating: -.infinity))[7] == 0)
    }

    @Test("a row's normalisation is right for every length", arguments: [1, 2, 15, 16, 17, 1023, 1024, 1040, 49152])
    func row(_ count: Int) {
        var noise = Noise(count)
        let (a, b) = (noise.row(count, spread: 40), noise.row(count, spread: 40))
        let (p, q) = (logSoftmax(a), logSoftmax(b))
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                let (first, second) = (LogitRow(a), LogitRow(b))
                #expect(first.argmax == p.firstIndex(of: p.max() ?? 0))
                #expect(abs(first.negativeLogLikelihood(of: count / 2) + p[count / 2]) < 1e-5)
                let expected = zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
                #expect(abs(first.divergence(from: second) - expected) < 1e-5 * (1 + expected))
            }
        }
    }

    @Test("a small divergence keeps its digits")
    func smallDivergence() {
        var noise = Noise(5)
        let a = noise.row(4096, spread: 20)
        let b = a.map { $0 + Float(noise.next() - 0.5) * 0.02 }
        let (p, q) = (logSoftmax(a), logSoftmax(b))
        let expected = zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                #expect(abs(LogitRow(a).divergence(from: LogitRow(b)) - expected) < 1e-6)
            }
        }
        #expect(expected < 1e-4)
    }
}
