import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Small templates over everything the language has, rendered by transformers' own environment;
/// scripts/fixtures/template_snippets.py wrote them.
@Suite struct TemplateSnippetTests {
    @Test(arguments: ["snippets.json", "snippets-blind.json"])
    func snippetsRenderAsInTransformersOrAreRefusedByName(_ file: String) throws {
        let path = Place.fixtures + file
        let document = JSONField(try JSONValue.read(path), file: path)
        let scope = try document.member("scope").object()
        var rendered = 0
        var refused: [String] = []
        for snippet in try document.member("snippets").elements() {
            let source = try snippet.member("source").string()
            let result = Result { () throws(DyadError) in
                try ChatTemplate(source: source).render(
                    messages: [], addGenerationPrompt: false, variables: scope, now: ChatTemplateTests.now)
            }
            guard let expected = try snippet.optional("text")?.string() else {
                #expect(throws: DyadError.self, "\(source)") { try result.get() }
                continue
            }
            switch result {
            case .success(let prompt):
                #expect(bytes(prompt.text) == bytes(expected), "\(source)\n\(prompt.text.debugDescription)")
                rendered += 1
            case .failure(let error):
                // What differs is named; nothing is ignored.
                #expect(error.reason == .unsupported || error.reason == .malformed, "\(source): \(error)")
                refused.append(source)
            }
        }
        #expect(rendered + refused.count >= 150)
        #expect(refused.count * 20 <= rendered + refused.count, "\(refused)")
    }
}
