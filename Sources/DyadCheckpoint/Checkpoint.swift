import DyadFormats

/// A language model on disk, opened for reading tensor by tensor: a folder in Hugging Face's layout or a GGUF file.
///
/// Tensors have the names of Hugging Face's Llama (`model.layers.0.self_attn.q_proj.weight`), whatever the file
/// calls them, and rotary rows are in half-split order. Opening checks that every tensor the configuration asks
/// for is there in the right shape, and that it has a place for every one that is there; no weight is read before it is
/// asked for, except a head that is stored beside tied embeddings.
public struct Checkpoint: Sendable {
    /// The folder or file, resolved from a hub id if one was given.
    public let path: String
    /// The switches of the model.
    public let configuration: DecoderConfiguration
    /// The canonical names of all tensors, in the order of the forward pass.
    public let tensorNames: [String]
    private let shapes: [String: [Int]]
    private let store: any WeightStore
    private let gguf: GGUFFile?

    /// Opens a checkpoint.
    /// - Parameter path: a folder with `config.json`, a `.gguf` file, or a hub id (`org/name`) that has been
    ///   downloaded into the Hugging Face cache before.
    /// - Throws: ``DyadError``: `missing`; `malformed` or `unsupported` for what a file contains; `mismatch` for a
    ///   tensor whose shape is not what the configuration says.
    public static func open(_ path: String) throws(DyadError) -> Checkpoint {
        switch FileKind(path) {
        case .file, .other: return try Checkpoint(gguf: path)
        case .folder: return try Checkpoint(folder: path)
        case .nothing: return try Checkpoint(folder: try HubCache.folder(of: path))
        }
    }

    private init(folder: String) throws(DyadError) {
        let configPath = folder + "/config.json"
        let config = try FileBytes(configPath, limit: JSONValue.descriptionLimit)
        let document = try JSONValue.parse(config.bytes, file: configPath, allowsNonFinite: true)
        let root = withExtendedLifetime(config) { JSONField(document, file: configPath) }
        let configuration = try DecoderConfiguration(huggingFace: root)
        let store = try SafetensorsStore(folder: folder, config: config)
        try self.init(path: folder, configuration, store, gguf: nil)
    }

    private init(gguf path: String) throws(DyadError) {
        let opened = try RandomAccessFile(path)
        let magic = try opened.bytes(0..<min(4, opened.count))
        guard withExtendedLifetime(magic, { magic.bytes.elementsEqual("GGUF".utf8) }) else {
            throw DyadError(
                .unsupported, file: path, found: "a file that is not GGUF",
                expected: "a folder with config.json and safetensors files, or a .gguf file",
                remedy: "For a .safetensors file name the folder it is in.")
        }
        let file = try GGUFFile(opened)
        let configuration = try DecoderConfiguration(gguf: file)
        try self.init(path: path, configuration, try GGUFStore(file, configuration), gguf: file)
    }

    private init(
        path: String, _ configuration: DecoderConfiguration, _ store: any WeightStore, gguf: GGUFFile?
    ) throws(DyadError) {
        let configuration = try Agreement.resolvingHead(configuration, store)
        let expected = configuration.tensorShapes()
        try Agreement(configuration: configuration, store: store).check(expected)
        self.path = path
        self.configuration = configuration
        self.store = store
        self.gguf = gguf
        tensorNames = expected.map { $0.name }
        shapes = Dictionary(expected.map { ($0.name, $0.shape) }) { first, _ in first }
    }

    /// The shape of a tensor, outermost dimension first. Constant time.
    /// - Throws: ``DyadError`` `malformed` for a name that is not among ``tensorNames``.
    public func shape(of name: String) throws(DyadError) -> [Int] {
        guard let shape = shapes[name] else {
            throw DyadError(
                .malformed, file: path, subject: name, found: "no tensor of this name",
                expected: "one of the \(tensorNames.count) canonical names", remedy: "See Checkpoint.tensorNames.")
        }
        return shape
    }

    /// The elements of a tensor as `Float`, row-major (`[out, in]` for a linear), dequantised. Linear; allocates.
    /// - Throws: ``DyadError``: `malformed` for such a name; `unsupported` for elements that are no floats.
    public func floats(_ name: String) throws(DyadError) -> [Float] {
        _ = try shape(of: name)
        return try store.floats(name)
    }

    /// Where a tensor's bytes are, if the file has them as F32, F16 or BF16 in the canonical order; otherwise nil, and
    /// ``floats(_:)`` must be used. Constant time; nothing is read.
    /// - Throws: ``DyadError`` `malformed` for a name that is not among ``tensorNames``.
    public func view(_ name: String) throws(DyadError) -> TensorView? {
        _ = try shape(of: name)
        return try store.view(name)
    }

    /// A SHA-256 over everything that determines the model's function: config.json, the index and all weights, or
    /// the whole GGUF file. Reads all of it.
    public func fingerprint() throws(DyadError) -> String {
        var digest = SHA256()
        try store.digest(into: &digest)
        return digest.hexDigest()
    }
}

/// What a checkpoint's tokenizer is built from.
public enum TokenizerSource: Sendable {
    /// The path of a folder with `tokenizer.json` and what belongs to it.
    case folder(String)
    /// The metadata of a GGUF file.
    case gguf(GGUFFile)
}

extension Checkpoint {
    /// What the tokenizer is built from.
    /// - Throws: ``DyadError`` `missing` when a folder has no `tokenizer.json`.
    public var tokenizerSource: TokenizerSource {
        get throws(DyadError) {
            if let gguf { return .gguf(gguf) }
            guard FileKind(path + "/tokenizer.json") == .file else {
                throw DyadError(
                    .missing, file: path + "/tokenizer.json", found: "no such file", expected: "the tokenizer",
                    remedy: "Download it, or convert tokenizer.model with transformers' save_pretrained.")
            }
            return .folder(path)
        }
    }
}
