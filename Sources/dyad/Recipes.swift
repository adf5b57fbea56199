import ArgumentParser
import DyadFormats
import DyadQuantization

struct Recipes: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the built-in recipes, and what each does.")

    @Flag(help: "Print them as JSON.") var json = false

    func run() throws {
        let recipes = try Recipe.builtIn()
        if json {
            let entries = recipes.map { recipe in
                JSONValue.object(
                    JSONObject([("name", .string(recipe.name)), ("summary", .string(recipe.summary))]))
            }
            try Terminal.print(JSONValue.array(entries).text())
        } else {
            let width = recipes.map(\.name.count).max() ?? 0
            for recipe in recipes {
                try Terminal.print(
                    recipe.name + String(repeating: " ", count: width + 2 - recipe.name.count) + recipe.summary)
            }
        }
    }
}
