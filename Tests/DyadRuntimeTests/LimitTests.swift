import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What a header merely claims costs neither time nor memory: linear in what the file holds, or refused with the number.
@Suite struct LimitTests {
    /// An embedding, what `body` adds to it, and the logits of the tensor that it returns.
    private func program(
        vocabulary: Int = 4, context: Int = 16, width: Int = 8, _ body: (inout Chain) -> TensorID
    ) -> IntegerProgram {
        var chain = Chain(vocabulary: vocabulary, context: context, width: width)
        let last = body(&chain)
        chain.logits(last)
        return chain.program
    }

    private func refusal(_ program: IntegerProgram) throws -> DyadError {
        let error = #expect(throws: DyadError.self) {
            try program.validate()
            _ = try Runtime(program: program, options: .init(threads: 2)).makeSession()
        }
        return try #require(error)
    }

    @Test func twentyThousandLinearsArePlannedInSeconds() throws {
        let program = program { chain in
            var last = chain.start
            for _ in 0..<20000 { last = chain.linear(last, 4) }
            return last
        }
        let start = threadSeconds()
        let session = try Runtime(program: program, options: .init(threads: 1)).makeSession()
        _ = try session.prefill([1, 2])
        #expect(threadSeconds() - start < 4)
        // One after another: their tensors share a few places.
        #expect(session.byteCount < 1 << 16)
    }

    /// All of them live until the end.
    @Test func tensorsThatLiveLongAreLaidOutInSecondsToo() throws {
        let program = program { chain in
            var outputs = (0..<10000).map { _ in chain.linear(chain.start, 4) }
            while outputs.count > 1 {
                let (a, b) = (outputs.removeLast(), outputs.removeLast())
                outputs.append(chain.add(a, b))
            }
            return outputs[0]
        }
        let start = threadSeconds()
        _ = try Runtime(program: program, options: .init(threads: 1)).makeSession()
        #expect(threadSeconds() - start < 4)
    }

    @Test func widthsThatNoWeightHoldsAreRefused() throws {
        let program = program { chain in
            var last = chain.start
            for _ in 0..<2 { last = chain.concatenate(Array(repeating: last, count: 300)) }
            return chain.slice(last, 4)
        }
        let error = try refusal(program)
        #expect(error.reason == .unsupported)
        #expect(error.found.contains("steps of computation"))
    }

    @Test func manyLinearsOfOneWeightAreRefused() throws {
        let program = program(width: 1024) { chain in
            let wide = chain.linear(chain.start, 1024)
            return (0..<3000).reduce(wide) { last, _ in chain.linear(last, 1024) }
        }
        #expect(try refusal(program).found.contains("steps of computation"))
    }

    @Test func manyTablesOfOneConstantAreRefused() throws {
        let program = program { chain in
            let wide = chain.requantize(chain.start)
            return (0..<3000).reduce(wide) { last, _ in chain.lookup(last) }
        }
        #expect(try refusal(program).found.contains("bytes of memory"))
    }

    @Test func cachesLargerThanTheFileExplainsAreRefusedWithTheirBytes() throws {
        let program = program(context: 1 << 17) { chain in
            (0..<300).reduce(chain.start) { last, _ in chain.attention(last, heads: 2, dimension: 4) }
        }
        try program.validate()
        let error = try refusal(program)
        #expect(error.reason == .unsupported && error.subject == "maximumContext")
        // Keys of 2 · 4 bytes and sums of 2 · 4, values of 2 · 16, in 2¹⁷ columns of 300 layers.
        #expect(error.found.contains("\((8 + 8 + 32) * 300 << 17) of them for keys and values"))
        #expect(try Runtime(program: program).makeSession(maximumContext: 1 << 10).remainingTokens == 1 << 10)
    }

    /// Scores of 512 tokens would take gigabytes where someone watches: fewer tokens go together then.
    @Test func longContextsAreWatchedInSmallerChunks() throws {
        let program = program(context: 1 << 16) { chain in chain.attention(chain.start, heads: 2, dimension: 4) }
        let session = try Runtime(program: program, options: .init(threads: 1)).makeSession(observing: true)
        #expect(session.byteCount <= program.graph.memoryBudget)
        var logits: [Int32] = []
        let tokens = (0..<300).map { Int32($0 % 4) }
        try session.evaluate(tokens) { _, rows in logits += rows }
        #expect(try ReferenceInterpreter(program).run(tokens: tokens) == logits)
    }
}

/// Processor time of this thread: other tests run beside it.
private func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// A graph written operation by operation; one constant of each shape serves all.
private struct Chain {
    var program: IntegerProgram
    let start: TensorID = 0

    init(vocabulary: Int, context: Int, width: Int) {
        program = IntegerProgram(
            graph: IntegerGraph(vocabularySize: vocabulary, maximumContext: context), constants: [:])
        let output = tensor(width)
        let weight = constant([vocabulary, width], .i8)
        append(.embed(.init(weight: weight, scales: constant([vocabulary], nil), output: output)))
    }

    private mutating func append(_ kind: Operation.Kind) {
        program.graph.operations.append(Operation(name: "o\(program.graph.operations.count)", kind: kind))
    }

    private mutating func tensor(
        _ shape: [Dimension], _ type: IntegerType, _ scale: Float, _ zero: Int32
    ) -> TensorID {
        program.graph.tensors.append(
            GraphTensor(
                name: "t\(program.graph.tensors.count)", shape: shape, type: type,
                encoding: Encoding(scale: scale, zeroPoint: zero)))
        return program.graph.tensors.count - 1
    }

    private mutating func tensor(_ width: Int) -> TensorID { tensor([.tokens, .fixed(width)], .u8, 0.25, 128) }

    private mutating func constant(_ shape: [Int], _ type: IntegerType?) -> String {
        let name = "\(shape) \(type?.rawValue ?? "f32")"
        guard program.constants[name] == nil else { return name }
        program.graph.constants.append(GraphConstant(name: name, shape: shape, type: type))
        let count = shape.reduce(1, *)
        let bytes =
            type == nil
            ? (0..<count).flatMap { _ in withUnsafeBytes(of: Float(0.25).bitPattern.littleEndian) { Array($0) } }
            : (0..<count * (type?.bitWidth ?? 8) / 8).map { UInt8(truncatingIfNeeded: $0 * 7) }
        program.constants[name] = .memory(ConstantData(bytes))
        return name
    }

    private func width(_ id: TensorID) -> Int {
        if case .fixed(let width)? = program.graph.tensors[id].shape.last { width } else { 0 }
    }

    private mutating func operands(_ input: TensorID, _ output: TensorID) -> Operation.Linear {
        let (rows, columns) = (width(output), width(input))
        return .init(
            input: input, weight: constant([rows, columns], .i8), scales: constant([rows], nil), output: output)
    }

    mutating func linear(_ input: TensorID, _ width: Int) -> TensorID {
        let output = tensor(width)
        append(.linear(operands(input, output)))
        return output
    }

    mutating func logits(_ input: TensorID) {
        let output = tensor([.tokens, .fixed(program.graph.vocabularySize)], .i32, 0x1p-16, 0)
        append(.logits(operands(input, output)))
    }

    mutating func add(_ left: TensorID, _ right: TensorID) -> TensorID {
        let output = tensor(width(left))
        append(.add(.init(left: left, right: right, output: output)))
        return output
    }

    mutating func concatenate(_ inputs: [TensorID]) -> TensorID {
        let output = tensor(inputs.reduce(0) { $0 + width($1) })
        append(.concatenate(.init(inputs: inputs, output: output)))
        return output
    }

    mutating func slice(_ input: TensorID, _ width: Int) -> TensorID {
        let output = tensor(width)
        append(.slice(.init(input: input, start: 0, output: output)))
        return output
    }

    /// To 16 bits.
    mutating func requantize(_ input: TensorID) -> TensorID {
        let output = tensor([.tokens, .fixed(width(input))], .u16, 0.001, 32768)
        append(.requantize(.init(input: input, factor: 1, output: output)))
        return output
    }

    /// A table of 65,536 entries.
    mutating func lookup(_ input: TensorID) -> TensorID {
        let output = tensor([.tokens, .fixed(width(input))], .u16, 0.001, 32768)
        append(.lookup(.init(input: input, table: constant([65536], .u16), function: .silu, output: output)))
        return output
    }

    /// Queries, keys and values are all `input`.
    mutating func attention(_ input: TensorID, heads: Int, dimension: Int) -> TensorID {
        var caches: [Int] = []
        for part in ["k", "v"] {
            let cache = program.graph.caches.count
            program.graph.caches.append(
                CacheState(
                    name: "\(part)\(cache)", keyValueHeads: heads, headDimension: dimension,
                    encoding: program.graph.tensors[input].encoding, prefix: nil))
            append(.cacheAppend(.init(input: input, cache: cache)))
            caches.append(cache)
        }
        let shape: [Dimension] = [.fixed(heads), .tokens, .context]
        let scores = tensor(shape, .u16, 0.001, 32768)
        append(.matmul(.init(form: .queryKey, input: input, cache: caches[0], factor: 0.5, output: scores)))
        let probabilities = tensor(shape, .u16, 1 / 65535, 0)
        append(.softmax(.init(input: scores, output: probabilities)))
        let output = tensor(heads * dimension)
        append(
            .matmul(.init(form: .weightedValues, input: probabilities, cache: caches[1], factor: 1, output: output)))
        return output
    }
}
