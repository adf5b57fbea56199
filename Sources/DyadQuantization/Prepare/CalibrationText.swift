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

    /// Reads a text file (`.jsonl`: one object a line, its `text` field; anything else: plain UTF-8) and tokenises it
    /// without special tokens.
    public init(
        file: String, tokenizer: Tokenizer, samples: Int, length: Int
    ) throws(DyadError) {
        guard let text = try FileBytes(file).text else {
            throw DyadError(
                .malformed, file: file, found: "bytes that are no UTF-8", expected: "text in UTF-8",
                remedy: "Convert the file, for example with iconv.")
        }
        if file.hasSuffix(".jsonl") {
            var documents: [String] = []
            // Split as scalars: "\r\n" is one Character. Empty lines count, so that numbers are those of an editor.
            let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated() where !line.allSatisfy(\.properties.isWhitespace) {
                let value = try JSONValue.parse(String(line), file: file, subject: "line \(number + 1)")
                guard let document = value["text"]?.string else {
                    throw DyadError(
                        .malformed, file: file, subject: "line \(number + 1)", found: "no string “text”",
                        expected: "an object with a string “text” on every line", remedy: "Correct the line.")
                }
                documents.append(document)
            }
            try self.init(
                tokens: tokenizer.encode(documents.joined(separator: "\n\n"), parseSpecial: false), samples: samples,
                length: length, file: file)
        } else {
            try self.init(
                tokens: tokenizer.encode(text, parseSpecial: false), samples: samples, length: length, file: file)
        }
    }
}
