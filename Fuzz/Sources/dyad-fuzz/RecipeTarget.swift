import DyadFormats
import DyadQuantization

/// A recipe in YAML.
enum RecipeTarget: FuzzTarget {
    static let name = "recipe"

    static func run(_ input: UnsafeRawBufferPointer) {
        attempt { () throws(DyadError) in
            let recipe = try Recipe(yaml: String(decoding: input, as: UTF8.self), file: "recipe.yaml")
            _ = recipe.settings
            for tensor in ["layers.3.mlp.down_proj.output", "lm_head", ""] { _ = recipe.isPromoted(tensor) }
        }
    }
}
