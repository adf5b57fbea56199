import DyadFormats
import DyadTestSupport

/// A validated program from a grammar whose choices are the input's bytes: one way to run it, which the bytes decide as well, gives
/// the reference's integers. All ways of each would be a twentieth of the programs.
enum GraphTarget: FuzzTarget {
    static let name = "graphs"

    static func run(_ input: UnsafeRawBufferPointer) {
        do {
            let way = input.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF }
            let outcome = try DifferentialProgram.check(bytes: Array(input), way: way)
            if case .refused(let error) = outcome { _ = error.description }
        } catch {
            broken("\(error)")
        }
    }

    static func seeds() throws -> [[UInt8]] { (0..<24).map { ByteSource.bytes(seed: $0, count: 400) } }
}
