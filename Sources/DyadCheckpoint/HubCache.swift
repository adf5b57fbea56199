import DyadFormats

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Models that other programs have downloaded from the Hugging Face hub.
enum HubCache {
    /// The folder of a model's `main` revision: `models--ORG--NAME/snapshots/COMMIT` in the cache.
    /// - Throws: ``DyadError`` `missing`, saying how to download the model.
    static func folder(of identifier: String) throws(DyadError) -> String {
        let parts = identifier.split(separator: "/", omittingEmptySubsequences: false)
        let isIdentifier =
            parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.hasPrefix("~") }
        guard isIdentifier else {
            throw DyadError(
                .missing, file: identifier, found: "no such file or folder",
                expected: "a model folder, a .gguf file or a hub id (org/name)", remedy: "Check the path.")
        }
        let model = "\(root)/models--\(parts[0])--\(parts[1])"
        if let commit = firstLine(of: model + "/refs/main"), FileKind("\(model)/snapshots/\(commit)") == .folder {
            return "\(model)/snapshots/\(commit)"
        }
        throw DyadError(
            .missing, file: identifier, found: "neither a path nor a model in \(root)",
            expected: "a model folder, a .gguf file or a downloaded hub id",
            remedy: "Download it with: hf download \(identifier)")
    }

    /// `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`, as huggingface_hub has it.
    private static var root: String {
        if let cache = variable("HF_HUB_CACHE") { return cache }
        if let home = variable("HF_HOME") { return home + "/hub" }
        return (variable("HOME") ?? "") + "/.cache/huggingface/hub"
    }

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    private static func firstLine(of path: String) -> String? {
        guard let content = try? FileBytes(path, limit: 256) else { return nil }
        let text = withExtendedLifetime(content) { String(decoding: content.bytes, as: UTF8.self) }
        let line = text.prefix { !$0.isNewline }
        return line.isEmpty || line.contains("/") || line.hasPrefix(".") ? nil : String(line)
    }
}
