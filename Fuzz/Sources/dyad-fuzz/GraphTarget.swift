import DyadFormats
import DyadTestSupport

/// A validated program from a grammar whose choices are the input's bytes: every way to run it gives the reference's integers.
enum GraphTarget: FuzzTarget {
    static let name = "graphs"

    static func run(_ input: UnsafeRawBufferPointer) {
        do {
            if case .refused(let error) = try DifferentialProgram.check(bytes: Array(input)) { _ = error.description }
        } catch {
            broken("\(error)")
        }
    }

    static func seeds() throws -> [[UInt8]] { (0..<24).map { ByteSource.bytes(seed: $0, count: 400) } }
}
