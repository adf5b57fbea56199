import CFuzzer
import Foundation

/// `dyad-fuzz TARGET [option of libFuzzer] [folder or file]…` fuzzes one target, or with files runs each of them once.
/// `dyad-fuzz --list` names the targets; `dyad-fuzz --seeds FOLDER` writes valid inputs into a folder for each.
@main struct DyadFuzz {
    /// Chosen once, before the driver starts.
    nonisolated(unsafe) static var target: any FuzzTarget.Type = JSONTarget.self
    nonisolated(unsafe) static let targets: [any FuzzTarget.Type] = [
        SafetensorsTarget.self, GGUFTarget.self, JSONTarget.self, ProgramTarget.self, TokenizerTarget.self,
        TemplateTarget.self,
        PatternTarget.self, RecipeTarget.self, FolderTarget.self, GraphTarget.self,
    ]

    static func main() throws {
        let arguments = CommandLine.arguments
        if arguments.count == 2, arguments[1] == "--list" {
            for target in targets { print(target.name) }
            return
        }
        if arguments.count == 3, arguments[1] == "--seeds" {
            for target in targets { try writeSeeds(of: target, below: arguments[2]) }
            return
        }
        guard arguments.count >= 2, let chosen = targets.first(where: { $0.name == arguments[1] }) else {
            FileHandle.standardError.write(Data("dyad-fuzz: name a target: \(targets.map { $0.name })\n".utf8))
            exit(64)
        }
        target = chosen
        // The driver sees the arguments without the target.
        var rest = [CommandLine.unsafeArgv[0]] + (2..<arguments.count).map { CommandLine.unsafeArgv[$0] } + [nil]
        var count = CInt(rest.count - 1)
        let status = rest.withUnsafeMutableBufferPointer { buffer in
            var start = buffer.baseAddress
            return LLVMFuzzerRunDriver(&count, &start) { data, size in
                DyadFuzz.target.run(UnsafeRawBufferPointer(start: data, count: size))
                return 0
            }
        }
        exit(status)
    }

    private static func writeSeeds(of target: any FuzzTarget.Type, below folder: String) throws {
        let place = URL(filePath: folder).appending(path: target.name)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        for (index, seed) in try target.seeds().enumerated() {
            try Data(seed).write(to: place.appending(path: "seed-\(index)"))
        }
    }
}

/// The mutation that libFuzzer calls for every target.
@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ maximum: Int, _ seed: UInt32) -> Int {
    var random = SeededRandom(UInt64(seed))
    // Plain bytes now and then: what is not well-formed must be refused, too.
    if Int.random(in: 0..<8, using: &random) > 0,
        let changed = DyadFuzz.target.mutate(Array(UnsafeBufferPointer(start: data, count: size)), using: &random),
        changed.count <= maximum
    {
        UnsafeMutableRawPointer(data).copyMemory(from: changed, byteCount: changed.count)
        return changed.count
    }
    return LLVMFuzzerMutate(data, size, maximum)
}
