import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Folders whose files disagree, against what transformers makes of them (scripts/fixtures/model_folders.py).
@Suite struct FolderTests {
    static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/dyad-folder-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder + "/additional_chat_templates", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    /// The files of a case: the base's, changed and completed.
    static func write(_ files: JSONObject, over base: JSONObject, to folder: String) throws {
        var all = base
        for (name, value) in files.members where name != "config.json without" {
            guard var object = base[name]?.object, let changes = value.object else {
                all[name] = value
                continue
            }
            for (key, value) in changes.members { object[key] = value }
            for key in name == "config.json" ? files["config.json without"]?.array ?? [] : [] {
                object[key.string ?? ""] = nil
            }
            all[name] = .object(object)
        }
        if files["config.json"] == nil, let gone = files["config.json without"]?.array {
            var object = try #require(base["config.json"]?.object)
            for key in gone { object[key.string ?? ""] = nil }
            all["config.json"] = .object(object)
        }
        for (name, value) in all.members {
            // Not AtomicFile: thousands of files that need not outlast a crash.
            try (value.string ?? value.text()).write(
                toFile: folder + "/" + name, atomically: false, encoding: .utf8)
        }
    }

    private static func flags(_ token: AddedToken) -> String {
        (token.isSpecial ? "p" : "") + (token.stripsLeft ? "l" : "") + (token.stripsRight ? "r" : "")
            + (token.isNormalized ? "n" : "") + (token.isSingleWord ? "s" : "")
    }

    @Test func everyPairOfDisagreeingFilesIsReadAsTransformersReadsIt() throws {
        let document = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil)
        let base = try document.member("base").object()
        let texts = try document.member("texts").elements().map { try $0.string() }
        let cases = try document.member("cases").elements()
        #expect(cases.count > 600)
        for element in cases {
            let name = try element.member("name").string()
            try Self.withFolder { folder in
                try Self.write(try element.member("files").object(), over: base, to: folder)
                let read = try Tokenizer(folder: folder)
                // And what a program carries of it.
                for tokenizer in [read, try Tokenizer(document: JSONValue.parse(read.json().text()), file: name)] {
                    try Self.check(tokenizer, element, texts, "\(name)")
                }
            }
        }
    }

    private static func check(
        _ tokenizer: Tokenizer, _ element: JSONField, _ texts: [String], _ name: Comment
    ) throws {
        func ids(_ ids: [Int32]) -> JSONValue { .array(ids.map { .integer(Int($0)) }) }
        let named = try element.member("named").object()
        #expect(Set(tokenizer.parts.namedTokens.keys) == Set(named.keys), name)
        for (key, value) in named.members { #expect(tokenizer.parts.namedTokens[key] == value, name) }
        let added = tokenizer.parts.addedTokens.sorted { $0.id < $1.id }.map { token -> JSONValue in
            [.integer(Int(token.id)), .string(token.content), .string(flags(token))]
        }
        #expect(try element.member("added").value == .array(added), name)
        if let expected = try element.optional("ids") {
            #expect(expected.value == .array(texts.map { ids(tokenizer.encode($0)) }), name)
            #expect(try element.member("around").value == ids(tokenizer.encode("c", addSpecial: true)), name)
        }
        let rendered = try? tokenizer.renderChat([ChatMessage(role: "user", content: "ab")]).text
        #expect(try element.member("rendered").value.string == rendered, name)
        #expect(try element.member("ends").value == ids(tokenizer.eosIDs), name)
    }

    @Test func twoStepsThatAddTokensAreRefused() throws {
        let base = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base").object()
        let step: JSONValue = ["type": "RobertaProcessing", "cls": ["<s>", 15], "sep": ["<e>", 16]]
        try Self.withFolder { folder in
            let processor: JSONValue = ["type": "Sequence", "processors": [step, ["type": "ByteLevel"], step]]
            try Self.write(
                JSONObject([("tokenizer.json", ["post_processor": processor])]), over: base, to: folder)
            let error = #expect(throws: DyadError.self) { try Tokenizer(folder: folder) }
            #expect(error?.subject == "post_processor.processors[2]")
        }
    }

    private func tokenizer(_ changes: JSONObject) throws -> Tokenizer {
        let base = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base").object()
        var read: Tokenizer?
        try Self.withFolder { folder in
            try Self.write(JSONObject([("tokenizer.json", .object(changes))]), over: base, to: folder)
            read = try Tokenizer(folder: folder)
        }
        return try #require(read)
    }

    /// What would change ids or templates without a word is refused, with the file that says it.
    @Test func whatTransformersDoesOtherwiseIsRefusedByName() throws {
        let base = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base").object()
        func around(_ pieces: JSONValue...) -> JSONValue {
            let special: JSONValue = ["<s>": ["id": "<s>", "ids": [15], "tokens": ["<s>"]]]
            return ["type": "TemplateProcessing", "single": .array(pieces), "pair": [], "special_tokens": special]
        }
        let (a, b): (JSONValue, JSONValue) = (["Sequence": ["id": "A"]], ["Sequence": ["id": "B"]])
        let start: JSONValue = ["SpecialToken": ["id": "<s>"]]
        let cases: [(file: String, content: JSONValue, subject: String)] = [
            ("tokenizer_config.json", ["tokenizer_class": "RobertaTokenizer"], "tokenizer_class"),
            ("config.json", ["tokenizer_class": "T5TokenizerFast"], "tokenizer_class"),
            ("tokenizer_config.json", ["split_special_tokens": true], "split_special_tokens"),
            ("tokenizer.json", ["post_processor": around(a, start, a)], "post_processor.single"),
            ("tokenizer.json", ["post_processor": around(start)], "post_processor.single"),
            ("tokenizer.json", ["post_processor": around(start, b)], "post_processor.single"),
        ]
        for (file, content, subject) in cases {
            try Self.withFolder { folder in
                try Self.write(JSONObject([(file, content)]), over: base, to: folder)
                let error = #expect(throws: DyadError.self) { try Tokenizer(folder: folder) }
                #expect(error?.subject == subject && error?.file?.hasSuffix("/" + file) == true, "\(content.text())")
            }
        }
    }

    @Test func anErrorInATemplateNamesTheFileThatTheTemplateIsFrom() throws {
        let base = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base").object()
        let wrong: JSONValue = "{{ 1|nosuch }}"
        let cases: [(files: JSONObject, file: String, found: String)] = [
            (JSONObject([("chat_template.jinja", wrong)]), "chat_template.jinja", "nosuch"),
            (
                JSONObject([("additional_chat_templates/default.jinja", wrong)]),
                "additional_chat_templates/default.jinja", "nosuch"
            ),
            (JSONObject([("tokenizer_config.json", ["chat_template": wrong])]), "tokenizer_config.json", "nosuch"),
            (JSONObject([("additional_chat_templates/rag.jinja", wrong)]), "tokenizer.json", "rag"),
            (
                JSONObject([("tokenizer_config.json", ["chat_template": [["name": "rag", "template": wrong]]])]),
                "tokenizer.json", "rag"
            ),
            (JSONObject([("tokenizer_config.json", [:])]), "tokenizer.json", "none"),
        ]
        for (files, file, found) in cases {
            try Self.withFolder { folder in
                try Self.write(files, over: base, to: folder)
                let tokenizer = try Tokenizer(folder: folder)
                let error = #expect(throws: DyadError.self) { try tokenizer.renderChat([]) }
                #expect(error?.file == folder + "/" + file && error?.found.contains(found) == true, "\(file)")
            }
        }
    }

    @Test func aPromptBeginsWithThePostProcessorsTokensOnce() throws {
        let roberta: JSONValue = ["type": "RobertaProcessing", "cls": ["<s>", 15], "sep": ["<e>", 16]]
        let tokenizer = try tokenizer(JSONObject([("post_processor", roberta)]))
        #expect(tokenizer.encode("c", addSpecial: true) == [15, 2, 16])
        #expect(tokenizer.encodePrompt("c") == [15, 2] && tokenizer.encodePrompt("<s>c") == [15, 2])
        #expect(tokenizer.encodePrompt("") == [15])
        #expect(try self.tokenizer(JSONObject()).encodePrompt("c") == [2])
    }

    /// Without a decoder tokenizers puts a space between two tokens.
    @Test func aTokenizerWithoutDecoderSpellsItsTokens() throws {
        let tokenizer = try tokenizer(JSONObject([("decoder", nil)]))
        for tokenizer in [tokenizer, try Tokenizer(document: tokenizer.json(), file: "copy")] {
            #expect(tokenizer.decode([13, 8, 15, 2]) == "ab Ġ <s> c")
            #expect(tokenizer.decode([15, 2, 0], skipSpecial: true) == "c a")
        }
    }

    @Test func theVersionLineOfMergesCountsForNothing() throws {
        let model = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base")
            .member("tokenizer.json").member("model")
        var object = try model.object()
        object["merges"] = ["#version: 0.2", "a b"]
        #expect(try tokenizer(JSONObject([("model", .object(object))])).encode("ab") == [13])
    }

    @Test(arguments: ["generation_config.json", "config.json"]) func anEndOutsideTheVocabularyNamesItsFile(
        _ file: String
    ) throws {
        let base = try JSONField(JSONValue.read(Place.fixtures + "folders.json"), file: nil).member("base").object()
        for value: JSONValue in [99, -1, [3, 64]] {
            try Self.withFolder { folder in
                try Self.write(JSONObject([(file, ["eos_token_id": value])]), over: base, to: folder)
                let error = #expect(throws: DyadError.self) { try Tokenizer(folder: folder) }
                #expect(error?.reason == .mismatch && error?.file == folder + "/" + file)
                #expect(error?.subject?.hasPrefix("eos_token_id") == true)
            }
        }
    }
}
