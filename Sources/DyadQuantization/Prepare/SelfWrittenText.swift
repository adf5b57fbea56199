import DyadFormats
import DyadTransformer
import Foundation

extension CalibrationText {
    /// Calibration text that the float model writes itself, by sampling at temperature 1.
    ///
    /// Every second sequence is a conversation in the model's own template (``ConversationScript``), since that is what users
    /// of a chat model do with it. Of the others half begin with a random token (LLM-QAT, Liu et al. 2023), which gives all
    /// kinds of text, and half as the model's own texts do, with its first special token. A first token that is likely the
    /// prefix is left out again. Without a script, or without such a token, the kinds that are left alternate.
    ///
    /// Sequences of the held-out part are as long as those of the calibration, of all kinds, and drawn from other streams.
    ///
    /// - Complexity: `length` decoding steps of batches of 64 sequences.
    public init(
        writtenBy decoder: Decoder, firstToken: Int32?, script: ConversationScript?, samples: Int, length: Int,
        seed: UInt64, progress: ProgressReporter?
    ) throws {
        let apart = max(2, min(Self.heldOutWindows * Self.heldOutLength / length, samples / 4))
        let total = samples + apart
        // The kinds alternate, so that any part of the list holds all of them, and are written side by side.
        var writers = [ConversationWriter?](repeating: nil, count: total)
        func isConversation(_ sequence: Int) -> Bool { script != nil && sequence % 2 == 0 }
        func begins(_ sequence: Int) -> Bool {
            firstToken != nil && (script == nil ? sequence % 2 == 1 : sequence % 4 == 1)
        }
        if let script {
            for sequence in 0..<total where isConversation(sequence) { writers[sequence] = ConversationWriter(script) }
        }
        let sequences = try FloatGenerator(decoder).sample(
            count: total, length: length + 1,
            given: { sequence, tokens in
                if isConversation(sequence) { return writers[sequence]?.next(after: tokens.last) }
                return tokens.isEmpty && begins(sequence) ? firstToken : nil
            }, seed: seed
        ) { share in
            progress?.update(
                phase: "write calibration text", completed: Int((share * Double(total * length)).rounded()),
                total: total * length)
        }.enumerated().map { number, tokens in
            begins(number) || isConversation(number) ? Array(tokens.dropFirst()) : Array(tokens.dropLast())
        }
        self.init(calibration: Array(sequences.prefix(samples)), heldOut: Array(sequences.dropFirst(samples)))
    }
}

extension CalibrationText {
    /// The text of a file that ``write(to:key:)`` made; nil where there is no such file.
    ///
    /// - Parameter key: what the text follows from (model, seed, lengths).
    /// - Throws: ``DyadError`` for a file that is damaged or belongs to another key.
    public init?(storedIn file: String, key: JSONObject) throws(DyadError) {
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw DyadError(
                .malformed, file: file, found: "no readable text", expected: "self-written calibration text",
                remedy: "Remove the file: the text is then written again.")
        }
        let value = try JSONValue.parse(text, file: file)
        for name in key.keys where value["key"]?[name] != key[name] {
            throw DyadError(
                .mismatch, file: file, subject: name, found: value["key"]?[name]?.text() ?? "nothing",
                expected: key[name]?.text() ?? "nothing",
                remedy: "Remove the file, or name another one: this text was written with other settings.")
        }
        func windows(_ name: String) throws(DyadError) -> [[Int32]] {
            let rows = value[name]?.array?.map { row in
                row.array?.map { $0.integer.flatMap { Int32(exactly: $0) } } ?? [nil]
            }
            guard let rows, !rows.isEmpty, rows.allSatisfy({ !$0.contains(nil) && $0.count == rows[0].count }) else {
                throw DyadError(
                    .malformed, file: file, subject: name, found: "no list of windows", expected: "token ids",
                    remedy: "Remove the file: the text is then written again.")
            }
            return rows.map { $0.compactMap { $0 } }
        }
        self.init(calibration: try windows("calibration"), heldOut: try windows("held_out"))
    }

    /// Stores the windows as JSON, for other runs with the same key.
    public func write(to file: String, key: JSONObject) throws(DyadError) {
        func rows(_ windows: [[Int32]]) -> JSONValue { .array(windows.map { .array($0.map { .integer(Int($0)) }) }) }
        let value: JSONValue = ["key": .object(key), "calibration": rows(calibration), "held_out": rows(heldOut)]
        try AtomicFile.write(file, text: value.text())
    }
}
