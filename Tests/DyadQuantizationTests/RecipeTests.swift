import DyadFormats
import Testing

@testable import DyadQuantization

@Suite struct RecipeTests {
    @Test func everyBuiltInRecipeIsReadAndNamedAsItsFile() throws {
        let recipes = try Recipe.builtIn()
        #expect(Set(recipes.map(\.name)).count == recipes.count)
        for name in ["rtn-w8a8", "static-w8a8", "static-w4a8"] {
            #expect(try Recipe.named(name).name == name)
        }
    }

    @Test func everyPipelineHasBothSchemes() throws {
        let names = try Recipe.builtIn().map(\.name)
        for pipeline in [
            "smoothquant", "omniquant", "mobilequant", "quarot-static", "spinquant-static", "prefixquant", "quant-npu",
            "dyad", "dyad-folded",
        ] {
            #expect(names.contains(pipeline + "-w8a8") && names.contains(pipeline + "-w4a8"))
        }
    }

    @Test(arguments: [
        ("name: x\nsummary: y\ntypo: 1", "typo"),
        ("name: x\nsummary: y\nweights: { bits: 5 }", "weights.bits"),
        ("name: x\nsummary: y\nactivations: { range: widest }", "activations.range"),
        ("name: x\nsummary: y\nactivations: { down-output: 12 }", "activations.down-output"),
        ("name: x\nsummary: y\nrotation: { residual: 3.5 }", "rotation.residual"),
        ("name: x\nsummary: y\nsmoothing: { alpha: 7 }", "smoothing.alpha"),
        ("name: x\nsummary: y\nprefix: [-1]", "prefix"), ("name: x\nsummary: y\nsamples: 0", "samples"),
        ("name: x\nsummary: y\nweights: { clip: hessian }", "weights.clip"),
        ("name: x\nsummary: y\nweights: { target: residual-stream }", "weights.target"),
        ("name: x\nsummary: y\nweights: { rounding: gptq, target: stream }", "weights.target"),
        ("summary: y", "name"),
    ])
    func aWrongKeyOrValueIsNamed(yaml: String, subject: String) {
        let error = #expect(throws: DyadError.self) { try Recipe(yaml: yaml, file: "r.yaml") }
        #expect(error?.file == "r.yaml")
        #expect(error?.subject == subject)
    }

    @Test(arguments: ["[", "just text", "- a\n- b", "name: [1, 2"])
    func whatIsNoMappingIsRefused(yaml: String) {
        let error = #expect(throws: DyadError.self) { try Recipe(yaml: yaml, file: "r.yaml") }
        #expect(error?.reason == .malformed)
    }

    /// Aliases of aliases as a key, whose hash alone would take for ever; nesting beyond the stack; more bytes than a recipe has.
    @Test func aTextThatStandsForMoreThanItHoldsIsRefused() {
        let laughs = (0..<40).map { "  l\($0 + 1): &l\($0 + 1) [*l\($0), *l\($0)]\n" }.joined()
        let texts = [
            "name: x\nx:\n  l0: &l0 [1]\n\(laughs)  ? *l40\n  : 1\n", String(repeating: "[", count: 60_000),
            String(repeating: "- ", count: 30_000), "name: " + String(repeating: "x", count: 1 << 20),
        ]
        let start = ContinuousClock.now
        for text in texts {
            let error = #expect(throws: DyadError.self) { try Recipe(yaml: text, file: "r.yaml") }
            #expect(error?.file == "r.yaml")
        }
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func patternsMatchWholeComponents() throws {
        var recipe = Recipe(name: "x", summary: "y")
        recipe.promote = ["layers.*.mlp.down_proj.input", "layers.3.mlp.product"]
        #expect(recipe.isPromoted("layers.17.mlp.down_proj.input"))
        #expect(!recipe.isPromoted("layers.17.mlp.down_proj.output"))
        #expect(recipe.isPromoted("layers.3.mlp.product") && !recipe.isPromoted("layers.13.mlp.product"))
    }
}
