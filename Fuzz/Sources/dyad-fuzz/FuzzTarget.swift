import DyadFormats
import DyadTestSupport
import Foundation

typealias SeededRandom = SeededGenerator

extension SeededGenerator {
    init(_ seed: UInt64) { self.init(seed: seed) }
}

/// One kind of input and what is done with it. A trap, a hang and unbounded memory are findings; so is a broken promise,
/// which a target reports with ``broken(_:)``.
protocol FuzzTarget {
    static var name: String { get }
    /// Gives an input to the code under test. What throws a `DyadError` is right.
    static func run(_ input: UnsafeRawBufferPointer)
    /// Valid inputs to begin with, beside those in the folder Fuzz/Seeds.
    static func seeds() throws -> [[UInt8]]
    /// A change that keeps the form of the input; nil leaves it to libFuzzer.
    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]?
}

extension FuzzTarget {
    static func seeds() throws -> [[UInt8]] { [] }
    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? { nil }

    /// Runs `body`, in which only a `DyadError` may be thrown.
    static func attempt(_ body: () throws(DyadError) -> Void) {
        do { try body() } catch { _ = error.description }
    }

    /// Ends the process: the code under test broke a promise.
    static func broken(_ promise: String) -> Never { fatalError("\(name): \(promise)") }

    static func require(_ isKept: Bool, _ promise: @autoclosure () -> String) {
        if !isKept { broken(promise()) }
    }
}

/// A folder of this process in memory where there is one, for the code that reads files.
enum Scratch {
    static let folder: String = {
        let parent = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        let folder = "\(parent)/dyad-fuzz-\(getpid())"
        mkdir(folder, 0o700)
        // libFuzzer ends with _exit now and then; scripts/fuzz removes what is left.
        atexit { _ = try? FileManager.default.removeItem(atPath: Scratch.folder) }
        return folder
    }()

    /// Writes a file anew and returns its path.
    static func file(_ name: String, _ bytes: UnsafeRawBufferPointer) -> String {
        let path = folder + "/" + name
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var written = 0
        while written < bytes.count {
            let count = write(descriptor, bytes.baseAddress! + written, bytes.count - written)
            precondition(count > 0, "\(path) cannot be written")
            written += count
        }
        close(descriptor)
        return path
    }

    static func file(_ name: String, _ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { file(name, $0) } }

    static func file(_ name: String, _ text: String) -> String { file(name, Array(text.utf8)) }

    /// The bytes that `write` puts into the file of a path.
    static func bytes(_ write: (String) throws -> Void) throws -> [UInt8] {
        let path = folder + "/made"
        try write(path)
        return Array(try Data(contentsOf: URL(filePath: path)))
    }
}

/// A part of the input that the first NUL divides; both whole where there is none.
func divided(_ input: UnsafeRawBufferPointer) -> (UnsafeRawBufferPointer, UnsafeRawBufferPointer) {
    guard let place = input.firstIndex(of: 0) else {
        return (input, UnsafeRawBufferPointer(rebasing: input[input.count...]))
    }
    return (UnsafeRawBufferPointer(rebasing: input[..<place]), UnsafeRawBufferPointer(rebasing: input[(place + 1)...]))
}
