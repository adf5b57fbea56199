import DyadFormats
import Foundation

/// `compiled.json`: what a vendor's compiler made of a folder's graphs, and for which chip. What it holds cannot be read back tensor by
/// tensor, so its digest says whether it is still what was compiled.
public enum CompiledFiles {
    static let file = "compiled.json"

    /// Writes the list, once all are there.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    public static func write(_ files: [(name: String, chip: String)], in folder: String) throws(DyadError) {
        var entries: [JSONValue] = []
        for (name, chip) in files {
            let digest = try digest("\(folder)/\(name)")
            entries.append(
                .object(JSONObject([("file", .string(name)), ("chip", .string(chip)), ("sha256", .string(digest))])))
        }
        try AtomicFile.write("\(folder)/\(file)", text: JSONValue.array(entries).text() + "\n")
    }

    /// Checks the files of a folder that has compiled ones.
    ///
    /// - Throws: ``DyadError``: `missing`, `mismatch` naming the file, or `malformed` for a list that `dyad export` did not write.
    static func check(_ folder: String) throws(DyadError) {
        let path = "\(folder)/\(file)"
        guard FileManager.default.fileExists(atPath: path) else { return }
        for entry in try JSONValue.read(path).array ?? [.null] {
            guard let name = entry.object?["file"]?.string, !name.contains("/"),
                let expected = entry.object?["sha256"]?.string
            else {
                throw DyadError(
                    .malformed, file: path, found: "an entry without file or digest", expected: "both",
                    remedy: "Export the program again.")
            }
            let found = try digest("\(folder)/\(name)")
            guard found == expected else {
                throw DyadError(
                    .mismatch, file: "\(folder)/\(name)", subject: "sha256", found: found, expected: expected,
                    remedy: "This is not what was compiled: export the program again.")
            }
        }
    }

    private static func digest(_ path: String) throws(DyadError) -> String {
        let file = try RandomAccessFile(path)
        return try file.hexDigest()
    }
}
