import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

/// One thing broken in a valid program, and what the error must name.
struct Damage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let subject: String
    let apply: @Sendable (inout IntegerProgram) -> Void

    init(_ description: String, _ subject: String, _ apply: @escaping @Sendable (inout IntegerProgram) -> Void) {
        (testDescription, self.subject, self.apply) = (description, subject, apply)
    }
}

extension IntegerProgram {
    fileprivate func id(_ name: String) -> TensorID { graph.tensors.firstIndex { $0.name == name } ?? -1 }

    fileprivate func index(_ name: String) -> Int { graph.operations.firstIndex { $0.name == name } ?? -1 }

    /// Changes a tensor's description.
    fileprivate mutating func change(_ tensor: String, _ body: (inout GraphTensor) -> Void) {
        body(&graph.tensors[id(tensor)])
    }

    /// Changes the operands of an operation, wherever they are of type `Operands`.
    fileprivate mutating func change(_ operation: String, _ body: (Operation.Kind) -> Operation.Kind) {
        let place = index(operation)
        graph.operations[place].kind = body(graph.operations[place].kind)
    }

    fileprivate mutating func changeLinear(_ name: String, _ body: (inout Operation.Linear) -> Void) {
        change(name) { kind in
            guard case .linear(var o) = kind else { return kind }
            body(&o)
            return .linear(o)
        }
    }

    /// Adds a soft cap behind the logits.
    fileprivate mutating func capLogits(at cap: Float, reading input: TensorID? = nil) {
        let logits = id("logits")
        var capped = graph.tensors[logits]
        capped.name = "capped"
        graph.tensors.append(capped)
        let softCap = Operation.SoftCap(input: input ?? logits, cap: cap, output: graph.tensors.count - 1)
        graph.operations.append(Operation(name: "cap", kind: .softCap(softCap)))
    }

    /// Replaces a constant's bytes.
    fileprivate mutating func setBytes(_ name: String, _ body: (inout [UInt8]) -> Void) {
        var bytes = (try? constants[name]?.data())?.withUnsafeBytes { Array($0) } ?? []
        body(&bytes)
        constants[name] = .memory(ConstantData(bytes))
    }
}

private let attention = "layers.0.attention"

private let damages: [Damage] = [
    // Sizes and names
    Damage("no vocabulary", "graph") { $0.graph.vocabularySize = 0 },
    Damage("a vocabulary beyond the limit", "graph") { $0.graph.vocabularySize = .max },
    Damage("a context beyond the limit", "graph") { $0.graph.maximumContext = 1 << 40 },
    Damage("a context that the prefix fills", "graph") { $0.graph.maximumContext = 1 },
    Damage("a prefix token outside the vocabulary", "graph") { $0.graph.prefixTokens[0] = 5 },
    Damage("no operations", "graph") { $0.graph.operations = [] },
    Damage("two tensors of one name", "logits") { $0.graph.tensors[0].name = "logits" },
    Damage("two operations of one name", "embed") { $0.graph.operations[1].name = "embed" },
    Damage("two constants of one name", "embed.weight") { $0.graph.constants[3].name = "embed.weight" },
    Damage("an empty name", "tensor") { $0.graph.tensors[0].name = "" },
    // Tensors and encodings
    Damage("a NaN scale", "residual.0") { $0.graph.tensors[0].encoding.scale = .nan },
    Damage("a zero scale", "residual.0") { $0.graph.tensors[0].encoding.scale = 0 },
    Damage("a negative scale", "residual.0") { $0.graph.tensors[0].encoding.scale = -1 },
    Damage("an infinite scale", "residual.0") { $0.graph.tensors[0].encoding.scale = .infinity },
    Damage("a zero point outside the type", "residual.0") { $0.graph.tensors[0].encoding.zeroPoint = 70000 },
    Damage("a u16 activation with another zero point", "embed") { $0.graph.tensors[0].encoding.zeroPoint = 7 },
    Damage("a weight type for an activation", "residual.0") { $0.graph.tensors[0].type = .i8 },
    Damage("a tensor without axes", "residual.0") { $0.graph.tensors[0].shape = [] },
    Damage("an absurd extent", "residual.0") { $0.graph.tensors[0].shape = [.tokens, .fixed(.max)] },
    Damage("a negative extent", "residual.0") { $0.graph.tensors[0].shape = [.tokens, .fixed(-4)] },
    Damage("a tensor that nothing produces", "orphan") {
        $0.graph.tensors.append($0.graph.tensors[0])
        $0.graph.tensors[$0.graph.tensors.count - 1].name = "orphan"
    },
    // Order
    Damage("the embedding not first", "layers.0.attention_norm") { $0.graph.operations.swapAt(0, 1) },
    Damage("the logits not last", "lm_head") {
        $0.graph.operations.swapAt($0.graph.operations.count - 1, $0.graph.operations.count - 2)
    },
    Damage("a consumer before its producer", "\(attention).mask") {
        $0.graph.operations.swapAt($0.index("\(attention).mask"), $0.index("\(attention).scores"))
    },
    Damage("an operation that reads its own output", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.input = $0.output }
    },
    Damage("an input index out of range", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.input = 10_000 }
    },
    Damage("a negative output index", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.output = -1 }
    },
    Damage("two producers of one tensor", "\(attention).k_proj") { program in
        let query = program.id("\(attention).q_proj.output")
        program.changeLinear("\(attention).k_proj") { $0.output = query }
    },
    // Linear
    Damage("a weight of another shape", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.weight = "\(attention).k_proj.weight" }
    },
    Damage("a constant that is not there", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.scales = "nowhere" }
    },
    Damage("scales as weights", "\(attention).q_proj") { program in
        program.changeLinear("\(attention).q_proj") { $0.weight = $0.scales }
    },
    Damage("logits at another scale", "lm_head") { $0.change("logits") { $0.encoding.scale = 1 } },
    Damage("logits at u16", "lm_head") {
        $0.change("logits") { ($0.type, $0.encoding) = (.u16, Encoding(scale: 0x1p-16, zeroPoint: 32768)) }
    },
    // Attention
    Damage("a cache index out of range", "\(attention).scores") { program in
        program.change("\(attention).scores") { kind in
            guard case .matmul(var o) = kind else { return kind }
            o.cache = 2
            return .matmul(o)
        }
    },
    Damage("a cache with another zero point", "\(attention).k_cache") { $0.graph.caches[0].encoding.zeroPoint = 0 },
    Damage("a cache with another encoding than its input", "\(attention).k_cache_append") {
        $0.graph.caches[0].encoding.scale *= 2
    },
    Damage("cache extents whose product overflows", "\(attention).k_cache") {
        $0.graph.caches[0].keyValueHeads = 1 << 20
        $0.graph.caches[0].headDimension = 1 << 14
    },
    Damage("a cache without its prefix", "\(attention).v_cache") { $0.graph.caches[1].prefix = nil },
    Damage("a cache that nothing fills", "\(attention).late_attention") {
        $0.graph.operations.remove(at: $0.index("\(attention).v_cache_append"))
    },
    Damage("two appends to a cache", "again") {
        var copy = $0.graph.operations[$0.index("\(attention).v_cache_append")]
        copy.name = "again"
        $0.graph.operations.insert(copy, at: $0.index("\(attention).v_cache_append") + 1)
    },
    Damage("exponentials with another scale", "\(attention).exponential") {
        $0.change("\(attention).exponentials") { $0.encoding.scale = 1 / 255 }
    },
    Damage("an exponential that forgets the prefix", "\(attention).exponential") { program in
        program.change("\(attention).exponential") { kind in
            guard case .exponential(var o) = kind else { return kind }
            o.prefixWeights = nil
            return .exponential(o)
        }
    },
    Damage("late attention of masked scores", "\(attention).late_attention") { program in
        let masked = program.id("\(attention).masked")
        program.change("\(attention).late_attention") { kind in
            guard case .lateAttention(var o) = kind else { return kind }
            o.exponentials = masked
            return .lateAttention(o)
        }
    },
    Damage("a mask that changes the encoding", "\(attention).mask") {
        $0.change("\(attention).masked") { $0.encoding.scale = 1 }
    },
    Damage("an odd number of rotated channels", "\(attention).q_rotary") { program in
        program.change("\(attention).q_rotary") { kind in
            guard case .rotary(var o) = kind else { return kind }
            o.rotated = 1
            return .rotary(o)
        }
    },
    // The rest
    Damage("runs that do not divide the width", "layers.0.attention_norm") { program in
        program.change("layers.0.attention_norm") { kind in
            guard case .rmsNorm(var o) = kind else { return kind }
            o.size = 3
            return .rmsNorm(o)
        }
    },
    Damage("runs of zero", "layers.0.attention_norm") { program in
        program.change("layers.0.attention_norm") { kind in
            guard case .rmsNorm(var o) = kind else { return kind }
            o.size = 0
            return .rmsNorm(o)
        }
    },
    Damage("a NaN epsilon", "layers.0.attention_norm") { program in
        program.change("layers.0.attention_norm") { kind in
            guard case .rmsNorm(var o) = kind else { return kind }
            o.epsilon = .nan
            return .rmsNorm(o)
        }
    },
    Damage("an epsilon beyond the arithmetic", "layers.0.attention_norm") { program in
        program.change("layers.0.attention_norm") { kind in
            guard case .rmsNorm(var o) = kind else { return kind }
            o.epsilon = .greatestFiniteMagnitude
            return .rmsNorm(o)
        }
    },
    Damage("a Hadamard base that is none", "layers.0.mlp.hadamard") { program in
        program.change("layers.0.mlp.hadamard") { kind in
            guard case .hadamard(var o) = kind else { return kind }
            (o.base, o.power) = (["++", "++"], 2)
            return .hadamard(o)
        }
    },
    Damage("a Hadamard power that is no power of two", "layers.0.mlp.hadamard") { program in
        program.change("layers.0.mlp.hadamard") { kind in
            guard case .hadamard(var o) = kind else { return kind }
            o.power = 3
            return .hadamard(o)
        }
    },
    Damage("an infinite factor", "layers.0.mlp.hadamard_requantize") { program in
        program.change("layers.0.mlp.hadamard_requantize") { kind in
            guard case .requantize(var o) = kind else { return kind }
            o.factor = .infinity
            return .requantize(o)
        }
    },
    Damage("a table of the wrong size", "layers.0.mlp.act_fn") {
        $0.graph.tensors[$0.id("layers.0.mlp.gate_proj.output")].type = .u16
        $0.graph.tensors[$0.id("layers.0.mlp.gate_proj.output")].encoding.zeroPoint = 32768
    },
    // Constants' bytes
    Damage("a constant without data", "embed.weight") { $0.constants["embed.weight"] = nil },
    Damage("a constant with a byte less", "embed.weight") { $0.setBytes("embed.weight") { $0.removeLast() } },
    Damage("a constant whose size overflows", "embed.weight") {
        $0.graph.constants[2].shape = [.max, .max]
    },
    Damage("the 4-bit weight −8", "\(attention).q_proj.weight") {
        $0.setBytes("\(attention).q_proj.weight") { $0[0] = 0x80 }
    },
    Damage("a NaN weight scale", "\(attention).q_proj") {
        $0.setBytes("\(attention).q_proj.weight_scale") { $0.replaceSubrange(0..<4, with: [0, 0, 0xC0, 0x7F]) }
    },
    Damage("a huge weight scale", "\(attention).q_proj") {
        $0.setBytes("\(attention).q_proj.weight_scale") { $0.replaceSubrange(0..<4, with: [0, 0, 0x7F, 0x7F]) }
    },
    Damage("a cosine above one", "\(attention).q_rotary: rotary.cosine") {
        $0.setBytes("rotary.cosine") { $0.replaceSubrange(0..<2, with: [0xFF, 0x7F]) }
    },
    Damage("scales too far apart", "\(attention).scores") { program in
        for name in ["scores", "masked"] { program.change("\(attention).\(name)") { $0.encoding.scale = 1e-38 } }
    },

    // The layer, and what is done to the logits
    Damage("a layer below zero", "embed") { $0.graph.operations[0].layer = -1 },
    Damage("a cap of the logits that is not positive", "cap") { $0.capLogits(at: 0) },
    Damage("a cap of the logits at another scale", "cap") { program in
        program.capLogits(at: 3)
        program.change("capped") { $0.encoding.scale = 0x1p-15 }
    },
    Damage("a cap of the logits so small that no multiplier holds it", "cap") { $0.capLogits(at: 1e-12) },
    Damage("a cap of what is not scores", "cap") { program in
        program.capLogits(at: 3, reading: program.id("norm.output"))
    },
    Damage("an operation behind the logits that does not read them", "cap") { program in
        program.capLogits(at: 3, reading: program.id("layers.0.attention.scores"))
    },
]

@Suite("Validation")
struct ValidationTests {
    @Test("random programs are valid", arguments: 0..<16)
    func validPrograms(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed) + 500)
        try DecoderShape.random(using: &generator).program(seed: UInt64(seed)).validate()
    }

    @Test("a broken program is refused, by name", arguments: damages)
    func broken(damage: Damage) throws {
        var program = tinyProgram()
        try program.validate()
        damage.apply(&program)
        let error = #expect(throws: DyadError.self) { try program.validate() }
        #expect(error?.subject == damage.subject, "\(error.map { "\($0)" } ?? "")")
        #expect(throws: DyadError.self) { try ReferenceInterpreter(program) }
    }

    @Test("a token outside the vocabulary and a full context are refused, and change nothing")
    func runErrors() throws {
        let program = tinyProgram()
        let reference = try ReferenceInterpreter(program)
        #expect(reference.position == 1 && reference.remainingContext == 7)
        for token in [Int32(-1), 5, .max] {
            let error = #expect(throws: DyadError.self) { try reference.run(tokens: [0, token]) }
            #expect(error?.reason == .mismatch)
        }
        #expect(try reference.run(tokens: []) == [])
        let first = try reference.run(tokens: [0, 1, 2, 3, 4, 0])
        let error = #expect(throws: DyadError.self) { try reference.run(tokens: [1, 2]) }
        #expect(error?.reason == .failed && reference.position == 7)
        _ = try reference.run(tokens: [1])
        #expect(throws: DyadError.self) { try reference.run(tokens: [1]) }
        reference.reset()
        #expect(try reference.run(tokens: [0, 1, 2, 3, 4, 0]) == first)
    }
}
