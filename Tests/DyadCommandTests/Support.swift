import DyadTensor
import Foundation
import Testing

extension Trait where Self == ConditionTrait {
    static var needsTorch: Self { .enabled(if: Torch.isAvailable, "built without libtorch (trait Torch is off)") }
}

/// Where things are.
enum Place {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let tests = root + "/Tests/"
    static let help = tests + "DyadCommandTests/Fixtures/Help/"

    /// The build folder that holds the test bundle, and `dyad` beside it, whatever `--scratch-path` says.
    static let build: String = {
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL
        let here = bundle ?? Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments[0])
        return here.resolvingSymlinksInPath().deletingLastPathComponent().path
    }()
    static let dyad = build + "/dyad"

    /// A folder for this run of the tests; its name has a space, as users' folders do.
    static let scratch: String = {
        let path = NSTemporaryDirectory() + "/dyad command tests \(getpid())"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(atPath: Place.scratch) }
        return path
    }()

    /// A new, empty folder.
    static func folder(_ name: String = #function) throws -> String {
        let path = scratch + "/" + name.filter { $0.isLetter || $0.isNumber } + " " + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

func write(_ text: String, to path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
func list(_ folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

let torchIsAvailable = Torch.isAvailable
