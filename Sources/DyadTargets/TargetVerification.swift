import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadRuntime
import Foundation

/// `dyad verify --against` a vendor's library: the exported program beside the integer graph.
///
/// Layer by layer: each part of the program (the embedding, a layer, the head) is exported on its own, given the integer graph's
/// own tensors and caches, and all its tensors are compared. Chained: the whole program, whose differences add up.
public struct TargetVerification: Sendable {
    /// One tensor of one part.
    public struct Row: Sendable {
        /// `embedding`, `layers.3`, `head`.
        public var part: String
        /// The tensor's name in the integer graph.
        public var tensor: String
        /// Tokens of a step: a prefill chunk, or one; of single steps several are compared.
        public var tokens: Int
        /// Bits of a stored value.
        public var bits: Int
        /// Values compared.
        public var values: Int
        /// Largest difference, in steps of the tensor's encoding (of the coarser one, where they differ).
        public var maximumSteps: Double
        /// Mean size of the difference.
        public var meanSteps: Double
        /// Share of values at most two steps away.
        public var withinTwoSteps: Double
        /// Whether the tensor leaves the part.
        public var isOutput: Bool
        /// Share of values at most one step away, or, at 16 bit, one 255th of the range: as much as a step at 8 bit.
        public var withinOneCoarseStep: Double
        /// Signal to difference, in decibels of power; infinite where equal.
        public var signalToNoise: Double
        /// Of logits: the positions, and those whose best token is the integer graph's.
        public var bestTokens: (positions: Int, equal: Int)?
        /// Where the difference comes from; nil unless asked for.
        public var explanation: Explanation?
    }

    /// What executed the exported program.
    public var library: TargetLibrary
    /// Versions of its packages.
    public var versions: [String: String]
    /// Every tensor.
    public var rows: [Row]
    /// The integer graph and the target on the same text, the target with its nearness to the integer graph; nil without a text.
    public var integer: PerplexityResult?
    /// See ``integer``.
    public var target: PerplexityResult?
    /// The files of an exported folder on the same text; nil without one.
    public var exported: ExportedRun?
    /// Whether the target chooses the integer graph's tokens behind prompts; nil without prompts.
    public var greedy: GreedyAgreement?

    /// The 8-bit tensors of one part in one step, taken together.
    public struct Layer: Sendable {
        /// `embedding`, `layers.3`, `head`.
        public var part: String
        /// Tokens of the step.
        public var tokens: Int
        /// Largest difference in steps.
        public var maximumSteps: Double
        /// Mean size of the difference.
        public var meanSteps: Double
        /// Share of all values at most two steps away.
        public var withinTwoSteps: Double
        /// The worst signal-to-difference ratio of its tensors, those of 16 bit included, in decibels.
        public var signalToNoise: Double
        /// Where the mean difference comes from; nil unless asked for.
        public var explanation: Explanation?
    }

    /// The parts, in the order in which they were run; those without an 8-bit tensor are left out.
    public var layers: [Layer] {
        var order: [(part: String, tokens: Int)] = []
        for row in rows where !order.contains(where: { $0.part == row.part && $0.tokens == row.tokens }) {
            order.append((row.part, row.tokens))
        }
        return order.compactMap { part, tokens in
            let own = rows.filter { $0.part == part && $0.tokens == tokens }
            let narrow = own.filter { $0.bits == 8 }
            guard !narrow.isEmpty else { return nil }
            let count = Double(narrow.reduce(0) { $0 + $1.values })
            func mean(_ share: (Row) -> Double) -> Double {
                narrow.reduce(0) { $0 + share($1) * Double($1.values) } / count
            }
            let isExplained = narrow.allSatisfy { $0.explanation != nil }
            func mean(explained distance: (Explanation) -> Double) -> Double {
                mean { $0.explanation.map(distance) ?? 0 }
            }
            return Layer(
                part: part, tokens: tokens, maximumSteps: narrow.map(\.maximumSteps).max() ?? 0,
                meanSteps: mean(\.meanSteps), withinTwoSteps: mean(\.withinTwoSteps),
                signalToNoise: own.map(\.signalToNoise).min() ?? .infinity,
                explanation: isExplained
                    ? Explanation(
                        exportMeanSteps: mean(explained: \.exportMeanSteps),
                        targetMeanSteps: mean(explained: \.targetMeanSteps),
                        unexplainedMeanSteps: library.target.isHTP
                            ? mean { $0.explanation?.unexplainedMeanSteps ?? 0 } : nil) : nil)
        }
    }

    /// The share of positions at which the exported head, given the integer graph's own tensors, has the integer graph's best token.
    public var headAgreement: Double? {
        let heads = rows.compactMap(\.bestTokens)
        let positions = heads.reduce(0) { $0 + $1.positions }
        return positions == 0 ? nil : Double(heads.reduce(0) { $0 + $1.equal }) / Double(positions)
    }

    /// The largest difference at 8 bit.
    public var maximumSteps: Double { layers.map(\.maximumSteps).max() ?? 0 }
    /// The smallest share, over the layers, of 8-bit values at most two steps away.
    public var withinTwoSteps: Double { layers.map(\.withinTwoSteps).min() ?? 1 }

    /// The smallest share, over the layers, of what leaves a layer that is at most one step of 8 bits away.
    public var outputsWithinOneCoarseStep: Double {
        var sums: [String: (near: Double, count: Double)] = [:]
        for row in rows where row.isOutput && row.part.hasPrefix("layers.") {
            let sum = sums["\(row.part) \(row.tokens)"] ?? (0, 0)
            let count = Double(row.values)
            sums["\(row.part) \(row.tokens)"] = (sum.near + row.withinOneCoarseStep * count, sum.count + count)
        }
        return sums.values.map { $0.near / $0.count }.min() ?? 1
    }

    /// What is compared.
    public struct Options: Sendable {
        /// Tokens of a prefill chunk; as many precede it in the cache.
        public var chunk = 64
        /// Layers to compare one by one; nil for all.
        public var layers: Range<Int>?
        /// Tokens of a window of the chained comparison.
        public var context = 256
        /// Windows of the chained comparison.
        public var windows = 4
        /// A folder of `dyad export` whose files are run one behind the other.
        public var exported: String?
        /// Single steps that run behind its prefill chunks.
        public var steps = 16
        /// Prompts behind which the integer graph writes ``answer`` tokens each, which the target is compared on.
        public var prompts: [[Int32]] = []
        /// See ``prompts``.
        public var answer = 32
        /// Tokens that end an answer.
        public var ends: Set<Int32> = []
        /// Whether each part is executed in real arithmetic too, to say where differences come from.
        public var explains = false

        /// The defaults.
        public init() {}
    }

    /// Compares.
    ///
    /// - Parameters:
    ///   - tokens: at least twice the chunk for the layers; the windows of the chained comparison, or it is left out.
    ///   - progress: what is being done.
    /// - Throws: ``DyadError``: `missing` for a Python package, `failed` with the library's own words where it refuses a graph.
    public static func run(
        _ program: IntegerProgram, against library: TargetLibrary, tokens: [Int32], options: Options = Options(),
        progress: (String) -> Void = { _ in }
    ) throws -> TargetVerification {
        let scratch = try ScratchFolder()
        defer { withExtendedLifetime(scratch) {} }
        let folder = scratch.path
        var result = TargetVerification(library: library, versions: [:], rows: [])
        // Known before the layers take their time.
        if let folder = options.exported { try ExportedRun.session(folder, for: library) }
        let graph = program.graph
        let half = min(options.chunk, tokens.count / 2, (graph.maximumContext - graph.prefixTokens.count) / 2)
        guard half >= 1 else {
            throw DyadError(
                .usage, subject: "text", found: "\(tokens.count) tokens", expected: "at least 2",
                remedy: "Give a longer text.")
        }
        var parts = (options.layers ?? 0..<graph.layerCount).map {
            ProgramPart(embeds: false, layers: $0..<$0 + 1, hasHead: false)
        }
        if options.layers == nil {
            parts.insert(ProgramPart(embeds: true, layers: 0..<0, hasHead: false), at: 0)
            parts.append(ProgramPart(embeds: false, layers: 0..<0, hasHead: true))
        }
        // A chunk behind as many tokens, and single steps at some of the chunk's places.
        let places = (1...min(Self.singleSteps, half)).map { half - 1 + half * $0 / min(Self.singleSteps, half) }
        for (starts, count) in [([half], half), (places, 1)] {
            let observed = try starts.map { start throws(DyadError) in
                try Observation(program, tokens: tokens, start: start, count: count)
            }
            let shape = StaticShape(tokens: count, context: half * 2)
            for (index, part) in parts.enumerated() {
                progress("\(library.rawValue), \(count) tokens: part \(index + 1)/\(parts.count)")
                let (file, exported) = try library.write(
                    part, of: program, shape: shape, observing: true, to: folder)
                // A process for each, so that nothing a library keeps of one graph can touch the next.
                let worker = try TargetWorker(library.worker)
                try worker.load(file)
                result.rows += try compare(
                    program, part, exported, shape, observed, worker,
                    explaining: options.explains ? library.target : nil)
                result.versions = worker.versions
            }
        }
        if options.windows > 0, tokens.count >= options.context {
            progress("\(library.rawValue): the whole program")
            let target = try TargetModel(program, library: library, length: options.context, folder: folder)
            let integer = try IntegerModel(program, name: "integer")
            let measurement = Perplexity(context: options.context, maximumTokens: options.context * options.windows)
            result.integer = try measurement.measure([integer], tokens: tokens).first
            result.target = try measurement.measure([target], reference: integer, tokens: tokens) {
                progress("\(library.rawValue): \(Int($0 * 100)) % of the text")
            }.first
        }
        if !options.prompts.isEmpty {
            result.greedy = try GreedyAgreement.run(
                program, in: library, prompts: options.prompts, count: options.answer, ends: options.ends,
                folder: folder,
                progress: progress)
        }
        if let folder = options.exported {
            result.exported = try ExportedRun.run(
                folder, of: program, in: library, tokens: tokens, steps: options.steps, progress: progress)
        }
        return result
    }

    /// Single steps that are compared: one token's values are too few for a share of a layer's.
    private static let singleSteps = 8

    /// The integer graph's own tensors of a step, and its caches before it.
    struct Observation {
        var tokens: [Int32]
        var start: Int
        var tensors: [String: [Int32]] = [:]
        var before: [String: [Int32]] = [:]

        init(_ program: IntegerProgram, tokens: [Int32], start: Int, count: Int) throws(DyadError) {
            self.tokens = Array(tokens[start..<start + count])
            self.start = start
            let session = try Runtime(program: program, options: .init(prefillChunk: max(start, count)))
                .makeSession(observing: true)
            var found: [String: [Int32]] = [:]
            session.observer = { tensor in found[tensor.name, default: []] += tensor.values }
            if start > 0 { try session.evaluate(Array(tokens[..<start]), droppingPrefix: false) { _, _ in } }
            before = found
            found = [:]
            try session.evaluate(self.tokens, droppingPrefix: false) { _, _ in }
            tensors = found
        }

        /// The raw bytes of what `graph` is given for the step.
        func inputs(
            of graph: StaticGraph, _ program: IntegerProgram, _ shape: StaticShape
        ) throws(DyadError) -> [(name: String, bytes: [UInt8])] {
            let step = StepInputs(program, shape: shape, tokens: tokens, start: start)
            var inputs: [(name: String, bytes: [UInt8])] = []
            for id in graph.inputs {
                let value = graph.values[id]
                inputs.append(
                    (
                        value.name,
                        try step.bytes(of: value, tensor: { tensors[$0] }, rows: { rows($0, of: program.graph) })
                    ))
            }
            return inputs
        }

        /// What a cache held before the step.
        func rows(_ cache: CacheState, of graph: IntegerGraph) -> [UInt8]? {
            if start == 0 { return [] }
            for operation in graph.operations {
                if case .cacheAppend(let append) = operation.kind, graph.caches[append.cache].name == cache.name {
                    return before[graph.tensors[append.input].name]?.map { UInt8(truncatingIfNeeded: $0) }
                }
            }
            return nil
        }
    }

    private static func compare(
        _ program: IntegerProgram, _ part: ProgramPart, _ exported: StaticGraph, _ shape: StaticShape,
        _ observed: [Observation], _ worker: TargetWorker, explaining target: ExportTarget?
    ) throws(DyadError) -> [Row] {
        let names = exported.outputs.map { exported.values[$0].name }
        var pairs: [String: (expected: [Int32], bytes: [UInt8])] = [:]
        var models: [String: Modelled] = [:]
        for step in observed {
            let inputs = try step.inputs(of: exported, program, shape)
            let (outputs, _) = try worker.run(inputs, outputs: names)
            let results = target.map { modelled(program, exported, inputs, step.tensors, outputs, $0) }
            let isFull = step.start + step.tokens.count == shape.context
            for (name, bytes) in outputs {
                guard let expected = step.tensors[name],
                    // Rows of scores have columns that are not filled yet, and not in the integer graph.
                    isFull || program.graph.tensors.first(where: { $0.name == name })?.shape.contains(.context) == false
                else { continue }
                if let made = results?[name] {
                    models[name, default: Modelled()].fromGraph += made.fromGraph
                    models[name, default: Modelled()].fromTarget += made.fromTarget
                    models[name, default: Modelled()].fromTargetDropping += made.fromTargetDropping
                }
                pairs[name, default: ([], [])].expected += expected
                pairs[name, default: ([], [])].bytes += bytes
            }
        }
        var rows: [Row] = []
        let leaving = part.outputs(of: program.graph)
        for id in exported.outputs {
            let value = exported.values[id]
            guard let number = program.graph.tensors.firstIndex(where: { $0.name == value.name }),
                let (expected, bytes) = pairs[value.name]
            else { continue }
            let name = part.embeds ? "embedding" : part.hasHead ? "head" : "layers.\(part.layers.lowerBound)"
            var row = row(
                program.graph.tensors[number], expected, value, value.integers(bytes),
                factor: exported.factors[value.name] ?? 1, part: name, tokens: shape.tokens)
            row.isOutput = leaving.contains(number)
            if let target, let model = models[value.name] {
                row.explanation = explanation(
                    program.graph.tensors[number], expected, value, value.integers(bytes), model, target,
                    factor: exported.factors[value.name] ?? 1)
            }
            if number == program.graph.logits {
                let width = program.graph.vocabularySize
                row.bestTokens = (
                    expected.count / width, equalBestTokens(expected, value.integers(bytes), width: width)
                )
            }
            rows.append(row)
        }
        return rows
    }

    private static func equalBestTokens(_ expected: [Int32], _ found: [Int32], width: Int) -> Int {
        stride(from: 0, to: min(expected.count, found.count), by: width).count { start in
            func best(_ logits: [Int32]) -> Int? { logits[start..<min(start + width, logits.count)].indexOfLargest }
            return best(expected) == best(found)
        }
    }

    /// A tensor's row.
    ///
    /// - Parameter factor: what the exporter has multiplied the tensor's real values by.
    static func row(
        _ tensor: GraphTensor, _ expected: [Int32], _ value: StaticGraph.Value, _ found: [Int32], factor: Float = 1,
        part: String, tokens: Int
    ) -> Row {
        let meaning = Meaning(tensor, as: value, factor: factor)
        let found = found.map { $0 + meaning.offset }
        let ours = tensor.encoding, theirs = meaning.encoding
        let step = Double(max(ours.scale, theirs.scale))
        var (largest, sum, near, nearer, signal, noise) = (0.0, 0.0, 0, 0, 0.0, 0.0)
        let coarse: Double = value.type.integerType?.bitWidth == 16 ? 257 : 1
        for (a, b) in zip(expected, found) {
            let real = Double(a - ours.zeroPoint) * Double(ours.scale)
            let difference =
                meaning.areBothCut(a, b) ? 0 : Double(b - theirs.zeroPoint) * Double(theirs.scale) - real
            // Rounded in the last place only: two equal integers are no step apart.
            let steps = meaning.isSame || meaning.areBothCut(a, b) ? Double(abs(a - b)) : abs(difference) / step
            largest = max(largest, steps)
            sum += steps
            if steps <= 2 { near += 1 }
            if steps <= coarse { nearer += 1 }
            signal += real * real
            noise += difference * difference
        }
        // A missing or surplus value is as wrong as can be.
        if expected.count != found.count { largest = .infinity }
        let count = Double(max(expected.count, 1))
        return Row(
            part: part, tensor: tensor.name, tokens: tokens, bits: value.type.integerType?.bitWidth ?? 0,
            values: expected.count,
            maximumSteps: largest, meanSteps: sum / count, withinTwoSteps: Double(near) / count,
            isOutput: false, withinOneCoarseStep: Double(nearer) / count,
            signalToNoise: noise == 0 ? .infinity : 10 * log10(signal / noise))
    }
}

extension TargetVerification {
    /// How the integers of an exported value say what those of the integer graph's tensor say.
    struct Meaning {
        /// What is added to the exported integers: signed ones stand for unsigned.
        var offset: Int32 = 0
        /// The encoding of these, in the tensor's own units.
        var encoding: Encoding
        /// Whether equal integers are equal numbers.
        var isSame = false
        /// The ends of a type that both have: what lies beyond is cut by both, as masked scores are, however deep each mask is.
        private var range: ClosedRange<Int32>?

        init(_ tensor: GraphTensor, as value: StaticGraph.Value, factor: Float) {
            encoding = value.type.encoding ?? tensor.encoding
            encoding.scale /= factor
            guard let offset = value.type.integerType.flatMap({ tensor.type.offset(of: $0) }) else { return }
            self.offset = offset
            encoding.zeroPoint += offset
            range = Int32(tensor.type.range.lowerBound)...Int32(tensor.type.range.upperBound)
            // A factor that was multiplied in and divided out again may leave a scale's last bit otherwise.
            isSame =
                encoding.zeroPoint == tensor.encoding.zeroPoint
                && abs(encoding.scale / tensor.encoding.scale - 1) < 1e-5
        }

        func areBothCut(_ a: Int32, _ b: Int32) -> Bool {
            range.map { a == b && (a == $0.lowerBound || a == $0.upperBound) } ?? false
        }

        /// The exported integers that say what the tensor's say; nil for a value of another type.
        func exported(_ own: [Int32], of tensor: GraphTensor) -> [Int32]? {
            guard let range else { return nil }
            guard !isSame else { return own.map { $0 - offset } }
            return own.map { integer in
                guard !areBothCut(integer, integer) else { return integer - offset }
                let real = Double(integer - tensor.encoding.zeroPoint) * Double(tensor.encoding.scale)
                let level = (real / Double(encoding.scale) + 0.5).rounded(.down) + Double(encoding.zeroPoint)
                return Int32(min(max(level, Double(range.lowerBound)), Double(range.upperBound))) - offset
            }
        }
    }
}
