import DyadFormats
import Foundation
import Testing

/// Every activation that a configuration can have, from config.json to every exporter: written, or refused by a rule that
/// is stated here.
@Suite("Every activation to every format", .needsTorch)
struct ActivationExportTests {
    /// What a format does not have.
    private static let refused: [String: [String]] = [
        "onnx": [], "coreml": [], "litert": ["gelu", "gelu_pytorch_tanh"],
        "gguf": ["gelu", "gelu_pytorch_tanh", "relu"],
    ]

    @Test(arguments: ["silu", "gelu", "gelu_pytorch_tanh", "relu"])
    func isExportedOrRefusedByRule(_ activation: String) throws {
        let folder = try Place.folder("activation \(activation)")
        try TinyModel.write(to: folder)
        let config = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
        try write(config.replacing("\"silu\"", with: "\"\(activation)\""), to: folder + "/config.json")
        let program = folder + "/program.dyad"
        var arguments = TinyModel.quantize(folder, program)
        arguments.replace(["static-w8a8"], with: ["folded-w8a8"])
        let quantized = try Command(arguments).outcome()
        try #require(quantized.status == 0, "\(quantized.errors)")
        for (format, names) in Self.refused {
            // Of GGUF only what comes before the template is looked at: the rest is in the tests of that exporter.
            let template = format == "gguf" ? ["--template", folder + "/none.gguf"] : ["--chunk", "16"]
            let outcome = try Command(
                ["export", program, "-o", "\(folder)/\(format)", "--format", format] + template
            ).outcome()
            if names.contains(activation) {
                #expect(outcome.status == 65, "\(activation), \(format): \(outcome.errors)")
                #expect(
                    outcome.errors.lowercased().contains(format == "litert" ? "gelu" : "activation"),
                    "\(outcome.errors)")
            } else {
                #expect(outcome.status == (format == "gguf" ? 66 : 0), "\(activation), \(format): \(outcome.errors)")
            }
        }
    }
}
