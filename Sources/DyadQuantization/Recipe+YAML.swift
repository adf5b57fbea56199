import DyadFormats
import Foundation
import Yams

extension Recipe {
    /// Reads a recipe.
    ///
    /// - Parameters:
    ///   - yaml: the text.
    ///   - file: its path or name, for errors.
    /// - Throws: ``DyadError`` naming the key for YAML that is malformed, an unknown key, or a value out of its range.
    public init(yaml: String, file: String) throws(DyadError) {
        let root: Node
        try Self.checkSize(yaml, file)
        do {
            root = try Yams.compose(yaml: yaml) ?? Node([:])
        } catch {
            throw DyadError(
                .malformed, file: file, found: "\(error)", expected: "a YAML mapping",
                remedy: "See the built-in recipes (`dyad recipes`) for the form.")
        }
        var top = try RecipeReader(root, file: file, path: "")
        self.init(name: try top.string("name"), summary: try top.string("summary"))
        if var section = try top.section("weights") {
            weights.bits = try section.integer("bits", oneOf: [4, 8]) ?? weights.bits
            weights.rounding = try section.choice("rounding") ?? weights.rounding
            weights.clip = try section.choice("clip") ?? weights.clip
            weights.target = try section.choice("target") ?? weights.target
            try section.finish()
            if weights.target != .own && weights.rounding == .nearest {
                throw section.error(
                    "target", found: "\(weights.target.rawValue) with rounding nearest", expected: "own-output")
            }
            if weights.clip == .hessian && weights.rounding == .nearest {
                throw section.error("clip", found: "hessian with rounding nearest", expected: "none or mse")
            }
        }
        if var section = try top.section("activations") {
            activations.range = try section.choice("range") ?? activations.range
            if let bits = try section.integer("down-output", in: 8...16) {
                guard bits == 8 || bits == 16 else {
                    throw section.error("down-output", found: "\(bits)", expected: "8 or 16")
                }
                activations.downOutputBits = bits
            }
            try section.finish()
        }
        samples = try top.integer("samples", in: 1...65536) ?? samples
        attention = try top.choice("attention") ?? attention
        if let node = top.take("prefix") {
            if let tokens = node.sequence {
                let ids = tokens.compactMap { $0.int.flatMap(Int32.init(exactly:)) }
                guard ids.count == tokens.count, !ids.isEmpty, ids.count <= 16, ids.allSatisfy({ $0 >= 0 }) else {
                    throw top.error("prefix", found: "\(tokens.count) entries", expected: "1 to 16 token ids")
                }
                prefix = .tokens(ids)
            } else {
                switch node.string {
                case "none": prefix = .none
                case "auto": prefix = .automatic
                default:
                    throw top.error(
                        "prefix", found: "\(node.string ?? "a mapping")", expected: "none, auto or token ids")
                }
            }
        }
        if var section = try top.section("rotation") {
            rotation.residual = try section.boolean("residual") ?? false
            rotation.values = try section.boolean("values") ?? false
            rotation.online = try section.boolean("online") ?? false
            try section.finish()
        }
        if var section = try top.section("smoothing") {
            let alpha = try section.number("alpha", in: 0...1) ?? 0.5
            smoothing = Smoothing(alpha: alpha, sites: Set(try section.choices("sites") ?? Smoothing.Site.allCases))
            try section.finish()
        }
        promote = try top.strings("promote") ?? []
        if var section = try top.section("allocation") {
            var chosen = Allocation()
            chosen.measure = try section.choice("measure") ?? chosen.measure
            chosen.candidates = try section.strings("candidates") ?? []
            chosen.sixteenBitShare = try section.number("sixteen-bit-share", in: 0...1)
            chosen.weightBytes = try section.integer("weight-bytes", in: 0...Int.max)
            chosen.weightGrowth = try section.number("weight-growth", in: 1...2)
            chosen.latency = try section.number("latency", in: 1...1000)
            try section.finish()
            allocation = chosen
        }
        for var section in try top.sections("learning") ?? [] {
            let stage = try Learning(&section)
            if learning.contains(where: \.learnsVectors), stage.learnsTransforms || stage.recalibrates {
                throw section.error(
                    "rates", found: "transforms or recalibration after a stage with gains or biases",
                    expected: "the gains and biases in the last stages")
            }
            learning.append(stage)
            try section.finish()
        }
        try top.finish()
    }

    /// The largest file that is read as a recipe, in bytes; the built-in ones have one or two thousand.
    static let textLimit = 1 << 16

    /// The most anchors and aliases of a recipe.
    private static let aliasLimit = 16

    /// Values that are aliases of others, which are aliases of others, make a few lines stand for more nodes than there is memory; with
    /// so few they cannot. Comments and quotes count too: what is in them cannot be told without parsing.
    /// - Throws: ``DyadError`` beyond ``aliasLimit`` anchors (`&name`) and aliases (`*name`).
    private static func checkSize(_ yaml: String, _ file: String) throws(DyadError) {
        guard yaml.utf8.count <= textLimit else {
            throw DyadError(
                .unsupported, file: file, found: "\(yaml.utf8.count) bytes", expected: "at most \(textLimit)",
                remedy: "See the built-in recipes (`dyad recipes`) for the form.")
        }
        let bytes = Array(yaml.utf8)
        let before = Set(" \t\r\n[]{},:-?".utf8)
        let count = bytes.indices.count { place in
            guard bytes[place] == UInt8(ascii: "&") || bytes[place] == UInt8(ascii: "*"), place + 1 < bytes.count else {
                return false
            }
            let next = Character(Unicode.Scalar(bytes[place + 1]))
            return (place == 0 || before.contains(bytes[place - 1]))
                && (next.isLetter || next.isNumber || "_-".contains(next))
        }
        guard count <= aliasLimit else {
            throw DyadError(
                .unsupported, file: file, found: "\(count) anchors and aliases", expected: "at most \(aliasLimit)",
                remedy: "Write the values where they are used.")
        }
    }

    /// The recipe where none is named: at 8 bit the best that is known.
    public static let standard = "dyad-w8a8"

    /// Reads the recipe of a file, or the built-in one of that name.
    public static func named(_ nameOrPath: String) throws(DyadError) -> Recipe {
        if nameOrPath.hasSuffix(".yaml") || nameOrPath.hasSuffix(".yml") {
            let content: FileBytes
            do {
                content = try FileBytes(nameOrPath, limit: textLimit)
            } catch {
                throw DyadError(
                    error.reason, file: nameOrPath, found: error.found, expected: "a recipe in YAML",
                    remedy: "Check the path, or name a built-in recipe (`dyad recipes`).")
            }
            guard let text = content.text else {
                throw DyadError(
                    .malformed, file: nameOrPath, found: "bytes that are no UTF-8", expected: "a recipe in YAML",
                    remedy: "Convert the file, for example with iconv.")
            }
            return try Recipe(yaml: text, file: nameOrPath)
        }
        let all = try builtIn()
        guard let recipe = all.first(where: { $0.name == nameOrPath }) else {
            throw DyadError(
                .usage, file: "--recipe \(nameOrPath)", found: "no built-in recipe of that name",
                expected: "one of " + all.map(\.name).joined(separator: ", "),
                remedy: "Name one of them, or give the path of a .yaml file.")
        }
        return recipe
    }

    /// The recipes that come with Dyad, by name.
    public static func builtIn() throws(DyadError) -> [Recipe] {
        let folder = try builtInFolder()
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path(percentEncoded: false))) ?? []
        var recipes: [Recipe] = []
        for file in files.sorted() where file.hasSuffix(".yaml") {
            guard let text = try? String(contentsOf: folder.appending(path: file), encoding: .utf8) else { continue }
            recipes.append(try Recipe(yaml: text, file: file))
        }
        return recipes
    }

    /// The package's resources beside the executable (or in the app), else in the source tree. `Bundle.module` would end the
    /// process of a user who moved the executable alone.
    private static func builtInFolder() throws(DyadError) -> URL {
        let places = [Bundle.main.bundleURL, Bundle.main.resourceURL].compactMap { $0 }
        let names = ["dyad_DyadQuantization.resources", "dyad_DyadQuantization.bundle"]
        var candidates = places.flatMap { place in names.map { place.appending(path: $0 + "/Recipes") } }
        candidates.append(URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Recipes"))
        for candidate in candidates {
            if case .folder = FileKind(candidate.path(percentEncoded: false)) { return candidate }
        }
        throw DyadError(
            .missing, file: places.first?.path(percentEncoded: false), found: "no recipes beside the executable",
            expected: "the folder " + names[0], remedy: "Copy it from the build folder together with dyad.")
    }
}

extension Recipe.Learning {
    fileprivate init(_ section: inout RecipeReader) throws(DyadError) {
        self.init()
        objective = try section.choice("objective") ?? objective
        optimizer = try section.choice("optimizer") ?? optimizer
        steps = try section.integer("steps", in: 1...1_000_000) ?? steps
        batch = try section.integer("batch", in: 1...4096) ?? batch
        warmUp = try section.integer("warm-up", in: 0...1_000_000) ?? warmUp
        scalings = try section.choices("scalings").map { Set($0) } ?? scalings
        activations = try section.choice("activations") ?? activations
        quantizesWeights = try section.boolean("quantize-weights") ?? quantizesWeights
        localWeight = try section.number("local-weight", in: 0...1e6) ?? localWeight
        localSteps = try section.integer("local-steps", in: 0...1_000_000) ?? localSteps
        recalibrates = try section.boolean("recalibrate") ?? recalibrates
        guard var part = try section.section("rates") else {
            throw section.error(
                "rates", found: "nothing", expected: "a learning rate for at least one kind of parameter")
        }
        for parameter in Parameter.allCases {
            rates[parameter] = try part.number(parameter.rawValue, in: 0...10) ?? 0
        }
        try part.finish()
        if rates[.rounding] > 0 || rates[.weightScales] > 0,
            learnsTransforms || rates[.clipping] > 0 || !quantizesWeights
        {
            throw section.error(
                "rates", found: "learned rounding beside transforms or clipping",
                expected: "stages of their own: integers belong to one form of the weights")
        }
        if rates[.gains] > 0 || rates[.biases] > 0, learnsTransforms || recalibrates {
            throw section.error(
                "rates", found: "gains or biases beside transforms or recalibration",
                expected: "stages of their own: gains and biases are learnt on what calibration left")
        }
        if (rates[.rotations] > 0 || !quantizesWeights) && !recalibrates {
            throw section.error(
                "recalibrate", found: "false, with rotations or float weights",
                expected: "true: the weights must be rounded again")
        }
        if objective == .block, rates[.rotations] > 0 || localWeight > 0 {
            throw section.error(
                "objective", found: "block-output with rotations or a local term",
                expected: "an objective of the whole network")
        }
    }
}

/// One mapping of a recipe; every key must be taken before ``finish()``.
private struct RecipeReader {
    private var entries: [(key: String, value: Node)] = []
    private let file: String
    private let path: String

    init(_ node: Node, file: String, path: String) throws(DyadError) {
        (self.file, self.path) = (file, path)
        guard let mapping = node.mapping else {
            throw DyadError(
                .malformed, file: file, subject: path.isEmpty ? nil : path, found: "a scalar or list",
                expected: "a mapping", remedy: "See the built-in recipes for the form.")
        }
        for (key, value) in mapping { entries.append((key.string ?? "?", value)) }
    }

    mutating func take(_ key: String) -> Node? {
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        return entries.remove(at: index).value
    }

    mutating func section(_ key: String) throws(DyadError) -> RecipeReader? {
        guard let node = take(key) else { return nil }
        return try RecipeReader(node, file: file, path: path + key + ".")
    }

    /// A list of mappings.
    mutating func sections(_ key: String) throws(DyadError) -> [RecipeReader]? {
        guard let node = take(key) else { return nil }
        guard let items = node.sequence else { throw error(key, found: "no list", expected: "a list of mappings") }
        var readers: [RecipeReader] = []
        for (index, item) in items.enumerated() {
            readers.append(try RecipeReader(item, file: file, path: "\(path)\(key)[\(index)]."))
        }
        return readers
    }

    mutating func string(_ key: String) throws(DyadError) -> String {
        guard let text = take(key)?.string else { throw error(key, found: "nothing", expected: "a text") }
        return text
    }

    mutating func boolean(_ key: String) throws(DyadError) -> Bool? {
        guard let node = take(key) else { return nil }
        guard let value = node.bool else {
            throw error(key, found: node.string ?? "no scalar", expected: "true or false")
        }
        return value
    }

    mutating func integer(_ key: String, oneOf allowed: [Int]) throws(DyadError) -> Int? {
        guard let node = take(key) else { return nil }
        guard let value = node.int, allowed.contains(value) else {
            throw error(key, found: node.string ?? "no scalar", expected: "one of \(allowed)")
        }
        return value
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(DyadError) -> Int? {
        guard let node = take(key) else { return nil }
        guard let value = node.int, range.contains(value) else {
            throw error(key, found: node.string ?? "no scalar", expected: "a whole number in \(range)")
        }
        return value
    }

    mutating func number(_ key: String, in range: ClosedRange<Double>) throws(DyadError) -> Double? {
        guard let node = take(key) else { return nil }
        guard let value = node.float, range.contains(value) else {
            throw error(key, found: node.string ?? "no scalar", expected: "a number in \(range)")
        }
        return value
    }

    mutating func choice<Value: RawRepresentable & CaseIterable>(
        _ key: String
    ) throws(DyadError) -> Value? where Value.RawValue == String {
        guard let node = take(key) else { return nil }
        return try parse(node, key)
    }

    mutating func choices<Value: RawRepresentable & CaseIterable>(
        _ key: String
    ) throws(DyadError) -> [Value]? where Value.RawValue == String {
        guard let node = take(key) else { return nil }
        guard let items = node.sequence else { throw error(key, found: "no list", expected: "a list") }
        var values: [Value] = []
        for item in items { values.append(try parse(item, key)) }
        return values
    }

    mutating func strings(_ key: String) throws(DyadError) -> [String]? {
        guard let node = take(key) else { return nil }
        guard let items = node.sequence, items.allSatisfy({ $0.string != nil }) else {
            throw error(key, found: "no list", expected: "a list of tensor-name patterns")
        }
        return items.compactMap(\.string)
    }

    private func parse<Value: RawRepresentable & CaseIterable>(
        _ node: Node, _ key: String
    ) throws(DyadError) -> Value where Value.RawValue == String {
        guard let text = node.string, let value = Value(rawValue: text) else {
            throw error(
                key, found: node.string ?? "no scalar",
                expected: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return value
    }

    func finish() throws(DyadError) {
        if let entry = entries.first { throw error(entry.key, found: "an unknown key", expected: "no such key") }
    }

    func error(_ key: String, found: String, expected: String) -> DyadError {
        DyadError(
            .malformed, file: file, subject: path + key, found: found, expected: expected,
            remedy: "Correct the recipe; the docs' page “Adding a recipe” lists every key.")
    }
}
