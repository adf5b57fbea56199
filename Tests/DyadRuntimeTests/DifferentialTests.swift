import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

/// Random programs of every kind of operation in every order: the runtime computes the reference's bits, or refuses clearly.
@Suite struct DifferentialTests {
    @Test func randomProgramsRunTheSameInEveryWay() throws {
        var (equal, refusals): (Int, [String: Int]) = (0, [:])
        for seed in 0..<UInt64(200) {
            switch try DifferentialProgram.check(seed: seed) {
            case .equal: equal += 1
            case .refused(let error): refusals["\(error.reason): expected \(error.expected)", default: 0] += 1
            }
        }
        // Most mutations are refused; what is not mutated is nearly always accepted.
        #expect(equal > 120, "\(equal) ran, refused: \(refusals)")
    }
}
