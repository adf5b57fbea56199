import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import Foundation

extension TargetVerification {
    /// What a tensor's own operations do otherwise: mean differences to real arithmetic with a rounding behind every operation that is
    /// exported, where what they read is what the other execution itself gave them. In steps of the tensor; nothing adds up.
    public struct Explanation: Equatable, Sendable {
        /// Of the integer graph: what the export rounds otherwise than the program.
        public var exportMeanSteps: Double
        /// Of the target: what it does otherwise than what was written.
        public var targetMeanSteps: Double
        /// The same to arithmetic in which sums of 16-bit products lose their low 8 bits: what that leaves unexplained. nil but of HTP.
        public var unexplainedMeanSteps: Double?
    }

    /// Results in real arithmetic, each from what another executor gave the operations before it.
    struct Modelled {
        /// From the integer graph's own.
        var fromGraph: [Int32] = []
        /// From the target's own, and likewise where sums of 16-bit products lose their low 8 bits.
        var fromTarget: [Int32] = []
        var fromTargetDropping: [Int32] = []
    }

    /// One step of a part.
    ///
    /// - Parameters:
    ///   - tensors: the integer graph's own.
    ///   - outputs: what `target` made of `inputs`, the bytes by name.
    static func modelled(
        _ program: IntegerProgram, _ graph: StaticGraph, _ inputs: [(name: String, bytes: [UInt8])],
        _ tensors: [String: [Int32]], _ outputs: [String: [UInt8]], _ target: ExportTarget
    ) -> [String: Modelled] {
        let given = Dictionary(inputs.map { ($0.name, $0.bytes) }, uniquingKeysWith: { $1 })
        var (ours, theirs): ([String: [Int32]], [String: [Int32]]) = ([:], [:])
        for id in graph.outputs {
            let value = graph.values[id]
            let count = value.shape.reduce(1, *)
            if let made = outputs[value.name].map({ value.integers($0) }), made.count == count {
                theirs[value.name] = made
            }
            guard let own = tensors[value.name], own.count == count,
                let tensor = program.graph.tensors.first(where: { $0.name == value.name })
            else { continue }
            ours[value.name] = Meaning(tensor, as: value, factor: graph.factors[value.name] ?? 1)
                .exported(own, of: tensor)
        }
        func run(_ made: [String: [Int32]], dropping: Bool) -> [String: [Int32]] {
            var interpreter = StaticInterpreter(
                graph, dropsLowBits: dropping, roundsTiesToEven: target == .onnxruntime)
            return interpreter.run(given, following: made)
        }
        let fromGraph = run(ours, dropping: false), exact = run(theirs, dropping: false)
        let dropping = target.isHTP ? run(theirs, dropping: true) : exact
        var results: [String: Modelled] = [:]
        for name in theirs.keys {
            results[name] = Modelled(
                fromGraph: fromGraph[name] ?? [], fromTarget: exact[name] ?? [],
                fromTargetDropping: dropping[name] ?? [])
        }
        return results
    }

    static func explanation(
        _ tensor: GraphTensor, _ expected: [Int32], _ value: StaticGraph.Value, _ found: [Int32],
        _ model: Modelled, _ target: ExportTarget, factor: Float = 1
    ) -> Explanation? {
        func distance(_ a: [Int32], _ b: [Int32]) -> Double {
            Double(zip(a, b).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }) / Double(max(min(a.count, b.count), 1))
        }
        guard model.fromGraph.count == expected.count, model.fromTarget.count == found.count else { return nil }
        return Explanation(
            exportMeanSteps: row(tensor, expected, value, model.fromGraph, factor: factor, part: "", tokens: 0)
                .meanSteps,
            targetMeanSteps: distance(model.fromTarget, found),
            unexplainedMeanSteps: target.isHTP ? distance(model.fromTargetDropping, found) : nil)
    }
}

extension TargetVerification.Explanation: CustomStringConvertible {
    /// One line.
    public var description: String {
        let means = String(format: "by itself: the export %.4f, the target %.4f", exportMeanSteps, targetMeanSteps)
        return means + (unexplainedMeanSteps.map { String(format: ", without low bits %.4f", $0) } ?? "")
    }

    /// For `--json`.
    var json: JSONValue {
        .object(
            JSONObject([
                ("export_mean_lsb", .measured(exportMeanSteps)), ("target_mean_lsb", .measured(targetMeanSteps)),
                ("unexplained_mean_lsb", unexplainedMeanSteps.map(JSONValue.measured) ?? .null),
            ]))
    }
}
