import DyadGraph
import DyadTestSupport
import Foundation

/// The smallest decoder: the fixture `tiny.dyad`, and what the tests of damaged programs damage.
func tinyProgram() -> IntegerProgram {
    var shape = DecoderShape()
    shape.layers = 1
    shape.hidden = 4
    shape.heads = 2
    shape.keyValueHeads = 1
    shape.headDimension = 2
    shape.rotated = 2
    shape.intermediate = 4
    shape.vocabulary = 5
    shape.maximumContext = 8
    shape.prefix = 1
    shape.weightBits = 4
    shape.attention = .late16
    shape.hasHadamard = true
    shape.hasBiases = true
    return shape.program(seed: 1)
}

/// `Tests/DyadGraphTests/Fixtures/name`.
func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/" + name).path
}

/// The bytes of a file.
func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

/// Calls `body` with the path of a new folder, and removes it.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("dyad-" + UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
}

/// Writes bytes to a new file.
func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

/// The files of a fixture folder, sorted.
func files(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: fixture(folder)).sorted()
}

/// An environment variable.
func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

func exp(_ x: Double) -> Double { Foundation.exp(x) }
func exp2(_ x: Double) -> Double { Foundation.exp2(x) }
func log2(_ x: Double) -> Double { Foundation.log2(x) }
