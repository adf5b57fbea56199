import DyadFormats
import DyadTokenizer
import Foundation

/// Token windows for calibration, and others, from another part of the same text, for the scores.
public struct CalibrationText: Equatable, Sendable {
    /// Windows of equal length that ranges, Hessians and scalings are computed on.
    public var calibration: [[Int32]]
    /// Windows that learning draws its batches from: all of the text outside the held-out part.
    public var training: [[Int32]]
    /// Windows that nothing is computed on: the scores in the file come from them.
    public var heldOut: [[Int32]]

    /// Creates one from windows, which serve for learning too.
    public init(calibration: [[Int32]], heldOut: [[Int32]]) {
        (self.calibration, training) = (calibration, calibration)
        self.heldOut = heldOut
    }

    /// SHA-256 of all calibration and training ids as little-endian int32, for the provenance.
    public var fingerprint: String {
        var hash = SHA256()
        for window in calibration + training { littleEndian(window).withUnsafeBytes { hash.update($0) } }
        return hash.hexDigest()
    }

    /// How much of a text is kept apart: up to 8 windows of 1024 tokens, never more than a fifth.
    static let heldOutWindows = 8, heldOutLength = 1024

    /// Cuts windows from tokens: the held-out part is the end, the calibration windows lie evenly over the rest.
    ///
    /// - Throws: ``DyadError`` where the text is too short for one window of each.
    public init(
        tokens: [Int32], samples: Int, length: Int, file: String
    ) throws(DyadError) {
        let apart = min(Self.heldOutWindows * Self.heldOutLength, tokens.count / 5)
        let heldOutLength = min(Self.heldOutLength, apart)
        let usable = tokens.count - apart
        guard usable >= length, heldOutLength >= 2, samples > 0, length > 1 else {
            throw DyadError(
                .mismatch, file: file, found: "\(tokens.count) tokens",
                expected:
                    "at least \(max(length + (length + 3) / 4, 10)) for one window of \(length) and a held-out part",
                remedy: "Give a longer calibration text or a smaller --sequence-length.")
        }
        let count = min(samples, usable / length)
        calibration = (0..<count).map { index in
            // Evenly spaced starts; the last window ends where the held-out part begins.
            let start = count == 1 ? 0 : (usable - length) * index / (count - 1)
            return Array(tokens[start..<start + length])
        }
        training = (0..<usable / length).map { Array(tokens[$0 * length..<($0 + 1) * length]) }
        heldOut = (0..<apart / heldOutLength).map { index in
            Array(tokens[usable + index * heldOutLength..<usable + (index + 1) * heldOutLength])
        }
    }

    /// Reads a text file: plain UTF-8, tokenised without special tokens; or `.jsonl`, one object a line with `messages`,
    /// `prompt` and `completion` (a request and its answer, where the model has a chat template), or `text`. Special tokens are those
    /// that the template writes.
    public init(
        file: String, tokenizer: Tokenizer, samples: Int, length: Int
    ) throws(DyadError) {
        let content = try FileBytes(file)
        let tokens =
            file.hasSuffix(".jsonl")
            ? try Self.tokens(of: JSONLines.read(content, file: file, Document.init), tokenizer)
            : tokenizer.encode(try Self.text(content, file), parseSpecial: false)
        try self.init(tokens: tokens, samples: samples, length: length, file: file)
    }

    private static func text(_ content: FileBytes, _ file: String) throws(DyadError) -> String {
        if let text = content.text { return text }
        throw DyadError(
            .malformed, file: file, found: "bytes that are no UTF-8", expected: "text in UTF-8",
            remedy: "Convert the file, for example with iconv.")
    }

    /// What a line of a `.jsonl` file holds.
    private enum Document {
        case text(String)
        case conversation(Conversation)
        case completion(prompt: String, completion: String)

        init(_ row: JSONField) throws(DyadError) {
            let fields = try row.object()
            if fields["messages"] != nil {
                self = .conversation(try Conversation(row))
            } else if fields["prompt"] != nil || fields["completion"] != nil {
                self = .completion(
                    prompt: try row.member("prompt").string(), completion: try row.member("completion").string())
            } else if fields["text"] != nil {
                self = .text(try row.member("text").string())
            } else {
                throw DyadError(
                    .malformed, file: row.file, found: "none of “messages”, “prompt” and “text”",
                    expected: "an object with one of them on every line", remedy: "Correct the line.")
            }
        }
    }

    /// The tokens of all documents one behind the other; texts that follow each other are one text.
    private static func tokens(of documents: [Document], _ tokenizer: Tokenizer) throws(DyadError) -> [Int32] {
        var tokens: [Int32] = []
        var texts: [String] = []
        func flush() {
            if !texts.isEmpty { tokens += tokenizer.encode(texts.joined(separator: "\n\n"), parseSpecial: false) }
            texts = []
        }
        for document in documents {
            switch document {
            case .text(let text): texts.append(text)
            case .completion(let prompt, let completion) where tokenizer.chatTemplateSource == nil:
                texts.append(prompt + completion)
            case .completion(let prompt, let completion):
                flush()
                let conversation = Conversation([
                    ChatMessage(role: "user", content: prompt), ChatMessage(role: "assistant", content: completion),
                ])
                tokens += try tokenizer.tokens(of: conversation).ids
            case .conversation(let conversation):
                flush()
                tokens += try tokenizer.tokens(of: conversation).ids
            }
        }
        flush()
        return tokens
    }
}
