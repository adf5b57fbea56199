import DyadFormats
import DyadTokenizer

extension Checkpoint {
    /// The tokenizer that belongs to the checkpoint.
    public func tokenizer() throws(DyadError) -> Tokenizer {
        switch try tokenizerSource {
        case .gguf(let file): return try Tokenizer(gguf: file)
        case .folder(let path): return try Tokenizer(folder: path)
        }
    }
}
