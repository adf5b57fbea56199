import DyadFormats
import DyadGraph

/// What a target takes. Each rule was seen to matter in the vendor's own library; the numbers of the sections are those of the
/// page Exporting.
extension StaticGraph {
    /// A part of a program as `target` takes it.
    ///
    /// - Throws: ``DyadError`` `unsupported` naming the operation, the value and the rule; `mismatch` for impossible shapes.
    public static func lowered(
        _ program: IntegerProgram, part: ProgramPart, shape: StaticShape, for target: ExportTarget
    ) throws(DyadError) -> StaticGraph {
        try StaticLowering.lower(program, part: part, shape: shape, for: target).legalized(for: target).graph
    }

    /// The graph as `target` takes it, and what had to be changed for that.
    ///
    /// - Throws: ``DyadError`` `unsupported` naming the operation, the value and the rule.
    func legalized(for target: ExportTarget) throws(DyadError) -> (graph: StaticGraph, rewrites: [String]) {
        var graph = self
        var rewrites = Rewrite.allCases.compactMap { rewrite in self.rewrites[rewrite].map { rewrite.text($0) } }
        for node in nodes {
            try check(node)
            try checkAxes(node)
            if target.isHTP {
                try checkForHTP(node)
                if let rewrite = graph.growSmallWeights(of: node) { rewrites.append(rewrite) }
            }
        }
        guard target.descriptor.isSigned else { return (graph, rewrites) }
        let signed = try SignedRewriter.rewrite(graph)
        return (signed.graph, rewrites + signed.rewrites)
    }

    /// The number of values and constants that have an encoding.
    ///
    /// - Throws: ``DyadError`` `unsupported` for a value that flows between operations without one.
    func encodingCount() throws(DyadError) -> Int {
        var count = 0
        for value in values {
            switch value.type {
            case .quantized(_, let encoding):
                guard encoding.scale.isFinite, encoding.scale >= .leastNormalMagnitude else {
                    throw refusal(nil, value.name, "the scale \(encoding.scale)", "a normal, positive float32 scale")
                }
                count += 1
            case .perRow(_, let scales):
                if let row = scales.firstIndex(where: { !($0.isFinite && $0 >= 0) }) {
                    throw refusal(nil, value.name, "the scale \(scales[row]) of row \(row)", "finite scales")
                }
                count += 1
            case .float where value.constant == nil:
                throw refusal(nil, value.name, "no encoding", "one for every tensor")
            case .float, .index, .condition: break
            }
        }
        return count
    }

    private func refusal(_ node: Node?, _ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: subject,
            found: node.map { "\(found), in \($0.origin) (\($0.operation))" } ?? found, expected: expected,
            remedy: "Quantise with a recipe whose tensors this target takes.")
    }

    private func check(_ node: Node) throws(DyadError) {
        if node.operation == .reshape {
            let (from, to) = (values[node.inputs[0]], values[node.output])
            guard from.shape.reduce(1, *) == to.shape.reduce(1, *) else {
                throw refusal(node, to.name, "the shape \(to.shape) of what has \(from.shape)", "as many values")
            }
        }
        for id in node.inputs + [node.output] {
            let value = values[id]
            if value.shape.contains(where: { $0 < 1 }) {
                throw refusal(node, value.name, "the shape \(value.shape)", "positive extents")
            }
            if case .quantized(let type, _) = value.type, type == .u32 || type == .i32 {
                throw refusal(node, value.name, "\(type.rawValue) between operations", "at most 16 bit")
            }
        }
    }

    /// Axes: what a vendor's tool takes without a word, and computes something else.
    private func checkAxes(_ node: Node) throws(DyadError) {
        let output = values[node.output], rank = output.shape.count
        for (place, id) in node.inputs.enumerated() {
            guard case .perRow(_, let scales) = values[id].type else { continue }
            guard node.operation == .fullyConnected, place > 0 else {
                throw refusal(
                    node, values[id].name, "a scale for each row",
                    "one scale, but in weights and biases of linears")
            }
            guard scales.count == values[id].shape[0], scales.count == output.shape.last else {
                throw refusal(
                    node, values[id].name, "\(scales.count) scales of \(values[id].shape)",
                    "one for each row, \(output.shape.last ?? 0)")
            }
        }
        switch node.operation {
        case .concatenate(let axis):
            let shapes = node.inputs.map { values[$0].shape }
            guard (0..<rank).contains(axis), shapes.allSatisfy({ $0.count == rank }),
                (0..<rank).allSatisfy({ place in
                    place == axis
                        ? shapes.map { $0[place] }.reduce(0, +) == output.shape[place]
                        : shapes.allSatisfy { $0[place] == output.shape[place] }
                })
            else {
                throw refusal(
                    node, output.name, "\(shapes) joined at axis \(axis) to \(output.shape)", "an axis they differ at")
            }
        case .slice(let axis, let start):
            let shape = values[node.inputs[0]].shape
            guard (0..<rank).contains(axis), shape.count == rank, start >= 0,
                (0..<rank).allSatisfy({
                    $0 == axis ? start + output.shape[$0] <= shape[$0] : output.shape[$0] == shape[$0]
                })
            else {
                throw refusal(
                    node, output.name, "\(output.shape) from \(start) of axis \(axis) of \(shape)",
                    "a slice within one axis")
            }
        case .transpose(let axes):
            let shape = values[node.inputs[0]].shape
            guard axes.sorted() == Array(shape.indices), axes.map({ shape[$0] }) == output.shape else {
                throw refusal(node, output.name, "\(shape) by the axes \(axes) to \(output.shape)", "every axis once")
            }
        case .matmul, .fullyConnected:
            let (x, y) = (values[node.inputs[0]].shape, values[node.inputs[1]].shape)
            let inner = node.operation == .matmul ? y.dropLast().last : y.last
            guard x.last == inner else {
                throw refusal(node, output.name, "\(x) times \(y)", "equal inner extents")
            }
        default: break
        }
    }

    private func checkForHTP(_ node: Node) throws(DyadError) {
        let output = values[node.output]
        let limit = node.operation == .matmul ? 4 : 5
        guard output.shape.count <= limit else {
            throw refusal(node, output.name, "rank \(output.shape.count)", "rank \(limit) at most on HTP")
        }
        if node.operation == .matmul, case .quantized(let type, let encoding) = values[node.inputs[1]].type {
            guard type == .i8, encoding.zeroPoint == 0 else {
                throw refusal(
                    node, values[node.inputs[1]].name, "\(type.rawValue) with zero point \(encoding.zeroPoint)",
                    "i8 with zero point 0 as the second factor of a matmul on HTP, which makes anything else 8-bit")
            }
        }
        if node.operation == .fullyConnected, case .quantized(let input, _) = values[node.inputs[0]].type,
            let result = output.type.integerType, input != result
        {
            throw refusal(
                node, output.name, "\(input.rawValue) → \(result.rawValue) with a scale for each row",
                "equal widths on HTP")
        }
    }

    /// HTP drops the low 8 bits of a 16-bit product's sum. A widened input is a multiple of 256, so nothing is lost; where the input
    /// is truly 16 bit, 4-bit weights are stored 16 times as large in 8 bits, which keeps 4 of them.
    private mutating func growSmallWeights(of node: Node) -> String? {
        guard node.operation == .fullyConnected, values[node.inputs[0]].type.integerType == .u16,
            !isWidened(node.inputs[0]), case .perRow(.i4, let scales) = values[node.inputs[1]].type,
            let packed = values[node.inputs[1]].constant
        else { return nil }
        let bytes = packed.withUnsafeBytes { bytes in
            // The low nibble comes first; either, moved to the high end of a byte, is 16 times its value.
            bytes.flatMap { [$0 << 4, $0 & 0xF0] }
        }
        values[node.inputs[1]].type = .perRow(.i8, scales: scales.map { $0 / 16 })
        values[node.inputs[1]].constant = ConstantData(bytes)
        return "\(node.origin): 4-bit weights stored 16 times as large in 8 bits, since the input has 16"
    }

    /// Whether a value is u8 stored at 256 times its size.
    private func isWidened(_ id: ValueID) -> Bool {
        guard let producer = nodes.first(where: { $0.output == id }) else { return false }
        switch producer.operation {
        case .requantize: return values[producer.inputs[0]].type.integerType == .u8
        case .reshape, .transpose, .slice: return isWidened(producer.inputs[0])
        default: return false
        }
    }
}
