import CDyadKernels
import DyadFormats
import DyadGraph

/// Turns a validated program into an ``ExecutionPlan``, operation by operation.
struct PlanBuilder {
    let program: IntegerProgram
    let graph: IntegerGraph
    let pool: ThreadPool
    var caches: [ExecutionPlan.CachePlan]
    var weightBytes = 0
    /// Operations that read each tensor, in order.
    let readers: [[Int]]
    /// The operation that writes each tensor.
    let producers: [Int?]
    private var operations: [any PlannedOperation] = []
    /// Tables used by several layers, by constant.
    private var tables: [String: AlignedMemory] = [:]
    /// The table of all soft caps.
    private var tangents: AlignedMemory?
    /// Packed weights, by constant: several linears may read the same.
    private var panels: [String: AlignedMemory] = [:]
    /// Operations that are part of a fused one.
    private(set) var isFused: [Bool]
    /// Fused operations by the place of their last part. There everything that they read has been written: tensors, and
    /// the columns of this step in every cache.
    private var fused: [Int: any PlannedOperation] = [:]

    /// Plans `program`, which is valid.
    ///
    /// - Throws: ``DyadError`` where the program uses an operation in a way that the runtime does not execute.
    static func plan(_ program: IntegerProgram, pool: ThreadPool) throws(DyadError) -> ExecutionPlan {
        var builder = PlanBuilder(program: program, pool: pool)
        try builder.addCaches()
        return try builder.build()
    }

    private init(program: IntegerProgram, pool: ThreadPool) {
        self.program = program
        self.pool = pool
        graph = program.graph
        caches = graph.caches.map { ExecutionPlan.CachePlan(state: $0) }
        isFused = Array(repeating: false, count: graph.operations.count)
        var readers = [[Int]](repeating: [], count: graph.tensors.count)
        var producers = [Int?](repeating: nil, count: graph.tensors.count)
        for (index, operation) in graph.operations.enumerated() {
            for input in operation.kind.inputs { readers[input].append(index) }
            for output in operation.kind.outputs { producers[output] = index }
        }
        self.readers = readers
        self.producers = producers
    }

    private mutating func addCaches() throws(DyadError) {
        for index in caches.indices {
            caches[index].prefixRows = try program.prefixRows(of: caches[index].state)
        }
    }

    private mutating func build() throws(DyadError) -> ExecutionPlan {
        try fuse()
        for (index, operation) in graph.operations.enumerated() {
            if let whole = fused[index] { operations.append(whole) }
            if isFused[index] { continue }
            let name = operation.name
            switch operation.kind {
            case .embed(let embed): try add(embed, name)
            case .rmsNorm(let norm): try add(norm, .rootMeanSquare, name)
            case .layerNorm(let norm): try add(norm, .layer, name)
            case .linear(let linear): operations.append(try planned(linear, name))
            case .logits(let linear):
                var finishes: [any LogitsFinish] = []
                for operation in graph.operations[(index + 1)...] {
                    guard case .softCap(let softCap) = operation.kind else {
                        throw unsupported(operation.name, "an operation behind the logits", "the logits, or their cap")
                    }
                    finishes.append(try self.softCap(softCap, operation.name))
                }
                return ExecutionPlan(
                    self, logits: try planned(linear, name), finishes: finishes, operations: operations)
            case .rotary(let rotary): try add(rotary, name)
            case .cacheAppend(let append):
                operations.append(CacheAppendOperation(name: name, input: append.input, cache: append.cache))
            case .matmul, .softCap, .mask, .softmax, .exponential, .lateAttention:
                throw unsupported(
                    name, "a step of attention that leads to no product with values", "one that is read, or none")
            case .lookup(let lookup): try add(lookup, name)
            case .multiply(let multiply): operations.append(try binary(multiply, .multiply, name))
            case .add(let add): operations.append(try binary(add, .add, name))
            case .requantize(let requantize): operations.append(try planned(requantize, name))
            case .hadamard(let hadamard): operations.append(try planned(hadamard, name))
            case .concatenate(let concatenate): add(concatenate, name)
            case .slice(let slice): add(slice, name)
            }
        }
        throw DyadError(
            .malformed, subject: "graph", found: "no logits", expected: "the logits as the last operation",
            remedy: "The file is incomplete: quantise the model again.")
    }

    func unsupported(_ name: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: name, found: found, expected: expected,
            remedy: "The reference interpreter can run this program; the runtime cannot.")
    }

    func tensor(_ id: TensorID) -> (TensorID, GraphTensor) { (id, graph.tensors[id]) }
    func planned(_ id: TensorID) -> PlannedTensor { PlannedTensor(id, graph.tensors[id]) }

    /// The only reader of a tensor, or nil.
    func onlyReader(of id: TensorID) -> Int? { readers[id].count == 1 ? readers[id][0] : nil }

    /// Plans the operations `indices`, the last at the end, as one.
    mutating func fuse(_ indices: [Int], as operation: any PlannedOperation) {
        for index in indices { isFused[index] = true }
        if let last = indices.last { fused[last] = operation }
    }

    private mutating func table(_ constant: String) throws(DyadError) -> AlignedMemory {
        if let table = tables[constant] { return table }
        let table = try AlignedMemory(try program.elements(of: constant, as: UInt8.self), subject: constant)
        tables[constant] = table
        return table
    }

    mutating func softCap(_ softCap: Operation.SoftCap, _ name: String) throws(DyadError) -> SoftCap {
        let memory: AlignedMemory
        if let tangents {
            memory = tangents
        } else {
            memory = try AlignedMemory(FixedPoint.hyperbolicTangents, subject: name)
        }
        tangents = memory
        return try SoftCap(softCap, of: graph, tangents: memory, name: name)
    }

    // MARK: Operations one by one

    private mutating func add(_ embed: Operation.Embed, _ name: String) throws(DyadError) {
        let weights = try program.data(of: embed.weight)
        weightBytes += weights.count
        operations.append(
            try EmbedOperation(
                name: name, output: tensor(embed.output), weights: weights,
                multipliers: try program.embedMultipliers(embed, name: name)))
    }

    private mutating func add(
        _ norm: Operation.Normalization, _ form: NormalizationOperation.Form, _ name: String
    ) throws(DyadError) {
        operations.append(
            try NormalizationOperation(
                name: name, form: form, input: tensor(norm.input), output: tensor(norm.output), size: norm.size,
                derived: try program.normalizationParameters(norm, name: name)))
    }

    private mutating func planned(_ linear: Operation.Linear, _ name: String) throws(DyadError) -> LinearOperation {
        let (input, output) = (graph.tensors[linear.input], graph.tensors[linear.output])
        guard input.type == .u8 || input.type == .u16 else {
            throw unsupported(name, "an input of type \(input.type.rawValue)", "u8 or u16")
        }
        guard input.width <= 65536 else { throw unsupported(name, "\(input.width) inputs", "at most 65536") }
        guard let constant = graph.constant(linear.weight) else {
            throw unsupported(name, "no constant '\(linear.weight)'", "its bytes")
        }
        let weights = try program.data(of: linear.weight)
        let derived = try program.linearParameters(linear, name: name)
        let zero = Int64(input.encoding.zeroPoint)
        let offsets = derived.weightSums.enumerated().map { Int64(derived.bias?[$0] ?? 0) - zero * $1 }
        let bits = constant.type == .i4 ? 4 : 8
        let memory: AlignedMemory
        if let known = panels[linear.weight] {
            memory = known
        } else {
            memory = try AlignedMemory(
                byteCount: dyad_packed_weight_bytes(output.width, input.width, Int32(bits)), subject: name)
            weights.withUnsafeBytes { bytes in
                LinearOperation.pack(
                    bytes, outputs: output.width, inputs: input.width, weightBits: bits, into: memory, pool: pool)
            }
            panels[linear.weight] = memory
            weightBytes += memory.byteCount
        }
        let operation = try LinearOperation(
            name: name, input: tensor(linear.input), output: tensor(linear.output), weightBits: bits, panels: memory,
            multipliers: derived.multipliers, offsets: offsets)
        weightBytes += operation.channelBytes
        return operation
    }

    private mutating func add(_ rotary: Operation.Rotary, _ name: String) throws(DyadError) {
        operations.append(
            RotaryOperation(
                name: name, input: tensor(rotary.input), output: tensor(rotary.output), dimension: rotary.headDimension,
                rotated: rotary.rotated, cosine: try table(rotary.cosine), sine: try table(rotary.sine),
                rescale: try graph.rotaryMultiplier(rotary, name: name)))
    }

    private mutating func add(_ lookup: Operation.Lookup, _ name: String) throws(DyadError) {
        let input = graph.tensors[lookup.input]
        operations.append(
            LookupOperation(
                name: name, input: lookup.input, inputType: input.type, output: planned(lookup.output),
                table: try table(lookup.table), width: input.width))
    }

    func binary(
        _ binary: Operation.Binary, _ form: BinaryOperation.Form, _ name: String
    ) throws(DyadError) -> BinaryOperation {
        let (left, right, output) = (
            graph.tensors[binary.left], graph.tensors[binary.right], graph.tensors[binary.output]
        )
        let (first, second): (DyadicMultiplier, DyadicMultiplier)
        switch form {
        case .add: (first, second) = try graph.addMultipliers(binary, name: name)
        case .multiply:
            first = try graph.multiplyMultiplier(binary, name: name)
            second = first
        }
        return BinaryOperation(
            name: name, form: form, left: binary.left, right: binary.right, output: planned(binary.output),
            parameters: dyad_binary(
                left: left.format, right: right.format, output: output.format, left_multiplier: first.multiplier,
                right_multiplier: second.multiplier, shift: first.shift),
            width: output.width, leftBytes: left.type.byteCount, rightBytes: right.type.byteCount)
    }

    func planned(_ requantize: Operation.Requantize, _ name: String) throws(DyadError) -> RequantizeOperation {
        let (input, output) = (graph.tensors[requantize.input], graph.tensors[requantize.output])
        guard input.type != .i32 || input.encoding.zeroPoint == 0 else {
            throw unsupported(name, "a 32-bit input with a zero point", "zero point 0")
        }
        let rescale = try graph.requantizeMultiplier(requantize, name: name)
        return RequantizeOperation(
            name: name, input: requantize.input, output: planned(requantize.output),
            parameters: dyad_requantize(input: input.format, output: output.format, rescale: rescale.kernelRescale),
            width: output.width, inputBytes: input.type.byteCount)
    }

    func planned(_ hadamard: Operation.Hadamard, _ name: String) throws(DyadError) -> HadamardOperation {
        let input = graph.tensors[hadamard.input]
        return HadamardOperation(
            name: name, input: hadamard.input, inputFormat: input.format, inputBytes: input.type.byteCount,
            output: planned(hadamard.output),
            matrix: try PackedHadamard(base: hadamard.base, power: hadamard.power, subject: name), width: input.width)
    }

    private mutating func add(_ concatenate: Operation.Concatenate, _ name: String) {
        let output = graph.tensors[concatenate.output]
        var offset = 0
        let runs = concatenate.inputs.map { id in
            let bytes = graph.tensors[id].width * graph.tensors[id].type.byteCount
            defer { offset += bytes }
            return CopyOperation.Run(
                source: id, sourceStride: bytes, sourceOffset: 0, targetOffset: offset, count: bytes)
        }
        operations.append(
            CopyOperation(
                name: name, runs: runs, output: planned(concatenate.output),
                targetStride: output.width * output.type.byteCount))
    }

    private mutating func add(_ slice: Operation.Slice, _ name: String) {
        let (input, output) = (graph.tensors[slice.input], graph.tensors[slice.output])
        let size = input.type.byteCount
        let run = CopyOperation.Run(
            source: slice.input, sourceStride: input.width * size, sourceOffset: slice.start * size, targetOffset: 0,
            count: output.width * size)
        operations.append(
            CopyOperation(
                name: name, runs: [run], output: planned(slice.output), targetStride: output.width * size))
    }
}
