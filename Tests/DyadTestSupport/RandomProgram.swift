import DyadGraph

extension DecoderShape {
    /// A valid program of this shape whose constants follow from `seed`.
    ///
    /// Activations are spread over their ranges with a few saturated, so that equal outputs mean equal arithmetic.
    public func program(seed: UInt64) -> IntegerProgram {
        var generator = SeededGenerator(seed: seed)
        let prefixTokens = (0..<prefix).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &generator) }
        var writer = DecoderWriter(
            shape: self,
            b: ProgramBuilder(
                graph: IntegerGraph(
                    vocabularySize: vocabulary, maximumContext: maximumContext, prefixTokens: prefixTokens),
                generator: generator))
        writer.write()
        return IntegerProgram(
            graph: writer.b.graph, constants: writer.b.constants, tokenizer: ["kind": "none"],
            configuration: ["shape": .string("\(self)")], provenance: ["seed": .string("\(seed)")])
    }
}

private struct DecoderWriter {
    let shape: DecoderShape
    var b: ProgramBuilder
    var cosine = ""
    var sine = ""

    mutating func write() {
        addRotaryTables()
        var residual = b.activation("residual.0", shape.hidden, .u16, limit: 16)
        let (weight, scales) = b.weight("embed", shape.vocabulary, shape.hidden, bits: 8, terms: 1)
        b.operation("embed", .embed(.init(weight: weight, scales: scales, output: residual)))
        for layer in 0..<shape.layers { residual = addBlock("layers.\(layer)", residual) }
        let normed = b.activation("norm.output", shape.hidden, limit: 4)
        b.norm("norm", from: residual, to: normed, isLayerNorm: shape.hasLayerNorm)
        let logits = b.tensor("logits", [.tokens, .fixed(shape.vocabulary)], .i32, 0x1p-16, zero: 0)
        b.operation("lm_head", .logits(b.linear("lm_head", from: normed, to: logits, bits: 8, hasBias: false)))
        guard shape.hasSoftCaps else { return }
        let capped = b.tensor("capped_logits", [.tokens, .fixed(shape.vocabulary)], .i32, 0x1p-16, zero: 0)
        b.operation("logits_cap", .softCap(.init(input: logits, cap: 3, output: capped)))
    }

    mutating func addRotaryTables() {
        let half = shape.rotated / 2
        let table = (0..<shape.maximumContext * half).map {
            rotaryEntry(position: $0 / half, index: $0 % half, half: half)
        }
        cosine = b.constant("rotary.cosine", [shape.maximumContext, half], .i16, table.map(\.cosine))
        sine = b.constant("rotary.sine", [shape.maximumContext, half], .i16, table.map(\.sine))
    }

    mutating func addLinear(
        _ name: String, _ input: TensorID, _ width: Int, _ type: IntegerType = .u8, limit: Float = 3, zero: Int32? = nil
    ) -> TensorID {
        let output = b.activation(name + ".output", width, type, limit: limit, zero: zero)
        b.operation(
            name,
            .linear(b.linear(name, from: input, to: output, bits: shape.weightBits, hasBias: shape.hasBiases)))
        return output
    }

    mutating func addBlock(_ name: String, _ input: TensorID) -> TensorID {
        let normed = b.activation(name + ".attention_norm.output", shape.hidden, limit: 4)
        b.norm(name + ".attention_norm", from: input, to: normed, isLayerNorm: shape.hasLayerNorm)
        let attended = addAttention(name + ".attention", normed)
        let output = addOutput(name + ".o_proj", attended)
        let middle = b.activation(name + ".attention_add.output", shape.hidden, .u16, limit: 16)
        b.operation(name + ".attention_add", .add(.init(left: input, right: output, output: middle)))

        let second = b.activation(name + ".mlp_norm.output", shape.hidden, limit: 4)
        b.norm(name + ".mlp_norm", from: middle, to: second, isLayerNorm: shape.hasLayerNorm)
        let down = addFeedForward(name + ".mlp", second)
        let sum = b.activation(name + ".mlp_add.output", shape.hidden, .u16, limit: 16)
        b.operation(name + ".mlp_add", .add(.init(left: middle, right: down, output: sum)))
        return sum
    }

    mutating func addOutput(_ name: String, _ input: TensorID) -> TensorID {
        guard shape.hasSplitOutput, shape.hidden >= 4 else {
            return addLinear(name, input, shape.hidden, .u16, limit: 4)
        }
        let output = b.activation(name + ".output", shape.hidden, .u16, limit: 4)
        let encoding = b.graph.tensors[output].encoding
        let widths = [shape.hidden / 4, shape.hidden - shape.hidden / 4]
        let parts = widths.enumerated().map { index, width in
            let part = addLinear("\(name).\(index)", input, width, .u16)
            b.graph.tensors[part].encoding = encoding
            return part
        }
        b.operation(name + ".concatenate", .concatenate(.init(inputs: parts, output: output)))
        return output
    }

    // MARK: Attention

    mutating func addAttention(_ name: String, _ input: TensorID) -> TensorID {
        let size = shape.headDimension
        let (queryWidth, keyWidth) = (shape.heads * size, shape.keyValueHeads * size)
        var (query, key, value): (TensorID, TensorID, TensorID)
        if shape.hasFusedQueryKeyValue {
            let all = addLinear(name + ".qkv_proj", input, queryWidth + 2 * keyWidth, zero: 128)
            let scale = b.graph.tensors[all].encoding.scale
            var start = 0
            let parts = [("q", queryWidth), ("k", keyWidth), ("v", keyWidth)].map { part, width in
                let output = b.tensor("\(name).\(part)", [.tokens, .fixed(width)], .u8, scale, zero: 128)
                b.operation("\(name).\(part)_slice", .slice(.init(input: all, start: start, output: output)))
                start += width
                return output
            }
            (query, key, value) = (parts[0], parts[1], parts[2])
        } else {
            query = addLinear(name + ".q_proj", input, queryWidth)
            key = addLinear(name + ".k_proj", input, keyWidth)
            value = addLinear(name + ".v_proj", input, keyWidth, zero: 128)
        }
        if shape.hasQueryKeyNorm {
            for (part, width) in [("q", queryWidth), ("k", keyWidth)] {
                let output = b.activation("\(name).\(part)_norm.output", width, limit: 4)
                b.norm(
                    "\(name).\(part)_norm", from: part == "q" ? query : key, to: output, size: size, isLayerNorm: false)
                if part == "q" { query = output } else { key = output }
            }
        }
        query = addRotary(name + ".q_rotary", query, queryWidth)
        key = addRotary(name + ".k_rotary", key, keyWidth, zero: 128)
        let keyCache = addCache(name + ".k_cache", key)
        let valueCache = addCache(name + ".v_cache", value)

        let rows: [Dimension] = [.fixed(shape.heads), .tokens, .context]
        let scores = b.tensor(name + ".scores", rows, .u16, 12.0 / 32768)
        let factor = 2 / Float(size).squareRoot()
        b.operation(
            name + ".scores",
            .matmul(.init(form: .queryKey, input: query, cache: keyCache, factor: factor, output: scores)))
        var visible = scores
        if shape.hasSoftCaps {
            visible = b.tensor(name + ".capped_scores", rows, .u16, 8.0 / 32768)
            b.operation(name + ".cap", .softCap(.init(input: scores, cap: 5, output: visible)))
        }
        let masked = b.tensor(name + ".masked", rows, .u16, b.graph.tensors[visible].encoding.scale)
        b.operation(name + ".mask", .mask(.init(input: visible, output: masked)))
        let output = b.activation(name + ".output", queryWidth, limit: 2)
        if shape.attention == .softmax {
            let probabilities = b.tensor(name + ".probabilities", rows, .u16, 1 / 65535, zero: 0)
            b.operation(name + ".softmax", .softmax(.init(input: masked, output: probabilities)))
            b.operation(
                name + ".weighted_values",
                .matmul(
                    .init(form: .weightedValues, input: probabilities, cache: valueCache, factor: 1, output: output)))
        } else {
            let type: IntegerType = shape.attention == .late8 ? .u8 : .u16
            let unit = 1 / Float(type.range.upperBound)
            let exponentials = b.tensor(name + ".exponentials", rows, type, unit, zero: 0)
            var weights: TensorID?
            if shape.prefix > 0 {
                let weightShape: [Dimension] = [.fixed(shape.heads), .tokens, .fixed(shape.prefix)]
                weights = b.tensor(name + ".prefix_weights", weightShape, .u32, unit, zero: 0)
            }
            b.operation(
                name + ".exponential",
                .exponential(.init(input: masked, output: exponentials, prefixWeights: weights)))
            b.operation(
                name + ".late_attention",
                .lateAttention(
                    .init(exponentials: exponentials, prefixWeights: weights, cache: valueCache, output: output)))
        }
        return output
    }

    mutating func addRotary(_ name: String, _ input: TensorID, _ width: Int, zero: Int32? = nil) -> TensorID {
        let output = b.activation(name + ".output", width, limit: 4, zero: zero)
        b.operation(
            name,
            .rotary(
                .init(
                    input: input, cosine: cosine, sine: sine, headDimension: shape.headDimension,
                    rotated: shape.rotated, output: output)))
        return output
    }

    mutating func addCache(_ name: String, _ tensor: TensorID) -> Int {
        let size = [shape.keyValueHeads, shape.prefix, shape.headDimension]
        let prefix =
            shape.prefix == 0
            ? nil
            : b.constant(
                name + ".prefix", size, .u8,
                (0..<size.reduce(1, *)).map { _ in UInt8.random(in: 40...215, using: &b.generator) })
        b.graph.caches.append(
            CacheState(
                name: name, keyValueHeads: shape.keyValueHeads, headDimension: shape.headDimension,
                encoding: b.graph.tensors[tensor].encoding, prefix: prefix))
        b.operation(name + "_append", .cacheAppend(.init(input: tensor, cache: b.graph.caches.count - 1)))
        return b.graph.caches.count - 1
    }

    // MARK: Feed-forward

    mutating func addFeedForward(_ name: String, _ input: TensorID) -> TensorID {
        let activationType: IntegerType = shape.hasWideActivation ? .u16 : .u8
        let downType: IntegerType = shape.hasWideDownInput ? .u16 : .u8
        let productType: IntegerType = shape.hasHadamard ? (shape.hasWideProduct ? .u16 : .u8) : downType
        let gate = addLinear(
            name + (shape.isGated ? ".gate_proj" : ".up_proj"), input, shape.intermediate, activationType)
        var product = b.activation(
            name + ".act_fn.output", shape.intermediate, shape.isGated ? activationType : productType, limit: 3)
        b.silu(name + ".act_fn", from: gate, to: product)
        if shape.isGated {
            let up = addLinear(name + ".up_proj", input, shape.intermediate)
            let output = b.activation(name + ".product.output", shape.intermediate, productType, limit: 3)
            b.operation(name + ".product", .multiply(.init(left: product, right: up, output: output)))
            product = output
        }
        if shape.hasHadamard {
            let block = HadamardMatrix.largestBlock(dividing: shape.intermediate)
            let scale = b.graph.tensors[product].encoding.scale
            let rotated = b.tensor(
                name + ".hadamard.output", [.tokens, .fixed(shape.intermediate)], .i32, scale, zero: 0)
            b.operation(
                name + ".hadamard",
                .hadamard(.init(input: product, base: block.base.signs, power: block.power, output: rotated)))
            product = b.activation(name + ".down_input", shape.intermediate, downType, limit: 3)
            let factor = 1 / Float(block.size).squareRoot()
            b.operation(
                name + ".hadamard_requantize", .requantize(.init(input: rotated, factor: factor, output: product)))
        }
        return addLinear(name + ".down_proj", product, shape.hidden, .u16, limit: 4)
    }
}
