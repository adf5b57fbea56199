import DyadFormats
import DyadGraph
import DyadTensor
import DyadTestSupport
import Testing

@testable import DyadQuantization

extension SimulatedProgram {
    /// How far every operation's integers lie from what the simulation makes of the integers that it read, by main output.
    func differences(
        tokens: [Int32], integers: [TensorID: [Int32]]
    ) throws -> [(name: String, difference: StepDifference)] {
        let graph = program.graph
        var values = Values(tokens: tokens)
        for (id, stored) in integers {
            let tensor = graph.tensors[id]
            let shape = tensor.shape.map { dimension in
                switch dimension {
                case .fixed(let extent): extent
                case .tokens: tokens.count
                case .context: tokens.count + graph.prefixTokens.count
                }
            }
            // u32 prefix weights arrive as the same 32 bits.
            let steps = stored.map {
                tensor.type == .u32 ? Double(UInt32(bitPattern: $0)) : Double($0) - Double(tensor.encoding.zeroPoint)
            }
            values.tensors[id] = try (Tensor(steps, shape: shape) * Double(tensor.encoding.scale)).to(.float32)
        }
        var result: [(name: String, difference: StepDifference)] = []
        for operation in graph.operations {
            let simulated: Tensor
            switch operation.kind {
            case .cacheAppend:
                try execute(operation, &values)
                continue
            // The mask writes the lowest integer where the simulator needs nothing.
            case .mask: continue
            case .exponential(let exponential): simulated = try exactExponentials(exponential, values).exponentials
            default: simulated = try evaluate(operation, values)
            }
            guard let output = operation.kind.outputs.first else { continue }
            let difference = StepDifference(
                of: graph.tensors[output], stored: integers[output] ?? [],
                exact: try simulated.toArray(Float.self).map(Double.init))
            result.append((operation.name, difference))
        }
        return result
    }
}

@Suite(.needsTorch) struct SimulatedProgramTests {
    private func differences(_ program: IntegerProgram, tokens count: Int) throws -> [String: StepDifference] {
        let tokens = (0..<count).map { Int32($0 * 7 % 50) }
        var integers: [TensorID: [Int32]] = [:]
        _ = try ReferenceInterpreter(program).run(tokens: tokens) { integers[$0] = $1 }
        let found = try SimulatedProgram(program).differences(tokens: tokens, integers: integers)
        return Dictionary(found.map { ($0.name, $0.difference) }, uniquingKeysWith: { $1 })
    }

    @Test func aWeightThatTwoLinearsShareHasTheScalesOfEach() throws {
        var program = DecoderShape().program(seed: 5)
        func place(_ name: String) throws -> Int {
            try #require(program.graph.operations.firstIndex { $0.name == "layers.0.mlp.\(name)" })
        }
        guard case .linear(let gate) = program.graph.operations[try place("gate_proj")].kind,
            case .linear(var up) = program.graph.operations[try place("up_proj")].kind
        else {
            Issue.record("no such linears")
            return
        }
        up.weight = gate.weight
        program.graph.operations[try place("up_proj")].kind = .linear(up)
        #expect(up.scales != gate.scales)
        let differences = try differences(program, tokens: 12)
        for name in ["gate_proj", "up_proj"] {
            #expect(try #require(differences["layers.0.mlp.\(name)"]).maximum < 1)
        }
    }

    /// It is applied as two small ones.
    @Test func aLargeHadamardMatrixIsExact() throws {
        var shape = DecoderShape()
        (shape.layers, shape.hidden, shape.hasHadamard, shape.intermediate) = (1, 8, true, 3 << 12)
        let difference = try differences(shape.program(seed: 8), tokens: 3)["layers.0.mlp.hadamard"]
        #expect(difference?.values == 3 * 3 << 12)
        #expect(try #require(difference).maximum < 1)
    }
}
