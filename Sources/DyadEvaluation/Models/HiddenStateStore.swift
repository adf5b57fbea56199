import DyadFormats
import DyadTensor
import Foundation

/// Keeps in a folder what the last block of a float model puts out for a window: a reference is the same in every comparison,
/// and most of its time goes into its blocks.
///
/// One safetensors file a window, named by a digest of the model, the constant prefix and the window's tokens, with
/// `[1, tokens, hidden]` float32 in it. A hundred windows of 1,024 tokens of a 135M model take 240 MB.
public struct HiddenStateStore: Sendable {
    private let folder: String
    private let model: String
    private static let tensor = "hidden"

    /// A store in a folder.
    ///
    /// - Parameters:
    ///   - folder: created if there is none.
    ///   - fingerprint: of the model's weights.
    ///   - prefix: the constant prefix in front of every window.
    public init(folder: String, fingerprint: String, prefix: [Int32]) throws(DyadError) {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw DyadError(
                .cannotWrite, file: folder, found: "no folder, and none can be made",
                expected: "a folder to keep files in",
                remedy: "Name another one with --reference-cache.")
        }
        self.folder = folder
        model = "\(dyadVersion) \(fingerprint) \(prefix)"
    }

    /// The stored states of a window, or those that `compute` gives, which are stored.
    func states(of window: [Int32], hiddenSize: Int, _ compute: () throws -> Tensor) throws -> Tensor {
        var digest = SHA256()
        digest.update("\(model) \(window)")
        let path = "\(folder)/\(digest.hexDigest()).safetensors"
        let shape = [1, window.count, hiddenSize]
        if case .file = FileKind(path) {
            let view = try SafetensorsFile(path: path).tensor(Self.tensor)
            guard view.type == .float32, view.shape == shape else {
                throw DyadError(
                    .malformed, file: path, subject: Self.tensor, found: "\(view.type.rawValue) \(view.shape)",
                    expected: "F32 \(shape)", remedy: "Remove the file: it will be made again.")
            }
            return try Tensor(view.floats(), shape: shape)
        }
        let states = try compute()
        let values = try states.to(.cpu, dtype: .float32).toArray(Float.self)
        try SafetensorsWriter.write(path, [SafetensorsWriter.Tensor(Self.tensor, .float32, shape, values)])
        return states
    }
}
