import CDyadKernels
import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

@testable import DyadEvaluation
@testable import DyadRuntime

/// `verify --against reference`: silent about a right runtime, however many tokens, and loud about a wrong kernel, whichever
/// way of running it is on.
@Suite struct VerificationTests {
    static let shape: DecoderShape = {
        var shape = DecoderShape()
        (shape.layers, shape.hasHadamard, shape.attention, shape.prefix) = (2, true, .late8, 1)
        shape.maximumContext = 700
        return shape
    }()
    static let program = shape.program(seed: 5)

    private static func tokens(_ count: Int) -> [Int32] { (0..<count).map { Int32($0 * 7 % 50) } }

    /// More tokens than a chunk holds.
    @Test(arguments: [1, 2, 33, 600]) func aRightRuntimeHasNoDifference(_ count: Int) throws {
        let result = try Verification.run(Self.program, tokens: Self.tokens(count), against: .reference)
        #expect(result.maximumSteps == 0)
        #expect(result.rows.count == Self.program.graph.tensors.count)
        #expect(result.paths.count == 2)
        #expect(result.paths.allSatisfy { $0.difference == nil && $0.tensors > 20 })
    }

    @Test func theChunkDoesNotMatter() throws {
        for chunk in [1, 3, 64] {
            let options = Runtime.Options(threads: 2, prefillChunk: chunk)
            let result = try Verification.run(
                Self.program, tokens: Self.tokens(70), against: .reference, options: options)
            #expect(result.maximumSteps == 0)
        }
    }

    /// A watched session of a long context takes fewer tokens at a time than it was asked to; the reference must do the same.
    @Test func aLongContextHasNoDifference() throws {
        var shape = Self.shape
        shape.maximumContext = 70_000
        let program = shape.program(seed: 5)
        let session = try Runtime(program: program, options: .init()).makeSession(observing: true)
        #expect(session.stepSize < 96)
        let result = try Verification.run(program, tokens: Self.tokens(96), against: .reference)
        #expect(result.maximumSteps == 0)
    }

    // MARK: Planted faults

    /// The generic kernels with one of them replaced. C functions cannot capture, so each fault names the generic set.
    private func faults(_ change: (inout dyad_kernels) -> Void, tokens count: Int = 40) throws -> Verification {
        var kernels = try #require(dyad_kernels_named("generic")).pointee
        change(&kernels)
        return try withUnsafePointer(to: kernels) { table in
            try Verification.run(
                Self.program, tokens: Self.tokens(count), against: .reference,
                options: .init(threads: 1, kernels: KernelSet(table: table), prefillChunk: 16))
        }
    }

    /// Only runs that nobody watches use it.
    @Test func aWrongGatedHadamardIsFound() throws {
        let result = try faults { kernels in
            kernels.gated_hadamard = { gated, left, right, rows, y, scratch in
                dyad_kernels_named("generic")?.pointee.gated_hadamard(gated, left, right, rows, y, scratch)
                y?.assumingMemoryBound(to: UInt8.self)[0] ^= 1
            }
        }
        #expect(result.rows.allSatisfy { $0.maximumSteps == 0 })
        #expect(result.paths.map(\.difference?.tensor) == Array(repeating: "layers.0.mlp.down_input", count: 2))
        #expect(result.paths.allSatisfy { $0.difference?.maximumSteps == 1 })
        #expect(result.maximumSteps >= 1)
    }

    @Test func aWrongUnwatchedAttentionIsFound() throws {
        let result = try faults { kernels in
            kernels.attention = { attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch in
                dyad_kernels_named("generic")?.pointee.attention(
                    attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch)
                if watch == nil, group == 0, first == 0 { y?.assumingMemoryBound(to: UInt8.self)[0] ^= 1 }
            }
        }
        #expect(result.rows.allSatisfy { $0.maximumSteps == 0 })
        #expect(result.paths.allSatisfy { $0.difference?.tensor == "layers.0.attention.output" })
    }

    /// Right in chunks, wrong for a single token.
    @Test func aWrongSingleStepIsFound() throws {
        let result = try faults { kernels in
            kernels.attention = { attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch in
                dyad_kernels_named("generic")?.pointee.attention(
                    attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch)
                // Behind the prefix and 30 tokens, one token by itself.
                if watch == nil, group == 0, tokens == 1, column == 31 {
                    y?.assumingMemoryBound(to: UInt8.self)[0] ^= 1
                }
            }
        }
        #expect(result.paths.map { $0.difference != nil } == [false, true])
    }

    @Test func aWrongWatchedAttentionIsFound() throws {
        let result = try faults { kernels in
            kernels.attention = { attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch in
                dyad_kernels_named("generic")?.pointee.attention(
                    attention, keys, values, prefix, group, first, tokens, column, q, y, scratch, watch)
                if group == 0, first == 0, let scores = watch?.pointee.scores { scores[0] ^= 1 }
            }
        }
        #expect(result.rows.first { $0.maximumSteps > 0 }?.tensor == "layers.0.attention.scores")
        #expect(result.paths.allSatisfy { $0.difference == nil })
    }

    /// Logits are computed in rows of one and of many.
    @Test func wrongLogitsOfSeveralRowsAreFound() throws {
        let result = try faults { kernels in
            kernels.linear = { linear, x, rows, first, blocks, y, scratch in
                dyad_kernels_named("generic")?.pointee.linear(linear, x, rows, first, blocks, y, scratch)
                if let linear, linear.pointee.output.type == Int32(bitPattern: DYAD_I32.rawValue), rows > 1 {
                    y?.assumingMemoryBound(to: Int32.self)[0] &+= 3
                }
            }
        }
        #expect(result.paths.first?.difference?.tensor == "logits")
        #expect(result.maximumSteps == 3)
    }

    // MARK: Exact arithmetic

    /// Reference and runtime read the same table, and are equal however wrong it is.
    @Test func aWrongTableIsFound() throws {
        var program = Self.program
        let lookups = program.graph.operations.compactMap { operation -> Operation.Lookup? in
            if case .lookup(let lookup) = operation.kind { lookup } else { nil }
        }
        let lookup = try #require(lookups.first)
        let table = try program.elements(of: lookup.table, as: UInt8.self)
        program.constants[lookup.table] = .memory(ConstantData(table.map { $0 < 128 ? $0 + 2 : $0 - 2 }))
        let reference = try Verification.run(program, tokens: Self.tokens(12), against: .reference)
        #expect(reference.maximumSteps == 0)
        let exact = try Verification.run(program, tokens: Self.tokens(12), against: .exact)
        let wrong = exact.rows.filter { $0.maximumSteps > Verification.exactBudget }.map(\.tensor)
        #expect(wrong == [program.graph.tensors[lookup.output].name])
        let right = try Verification.run(Self.program, tokens: Self.tokens(12), against: .exact)
        #expect(right.rows.count == Self.program.graph.tensors.count)
        #expect(right.maximumSteps <= Verification.exactBudget)
    }

    @Test func aLargeHadamardMatrixIsExact() throws {
        var shape = Self.shape
        (shape.layers, shape.hidden, shape.intermediate) = (1, 8, 3 << 12)
        let program = shape.program(seed: 8)
        let result = try Verification.run(program, tokens: Self.tokens(3), against: .exact)
        let row = try #require(result.rows.first { $0.tensor == "layers.0.mlp.hadamard.output" })
        #expect(row.values == 3 * 3 << 12 && row.maximumSteps < 1)
    }

    @Test func tensorsThatDoNotFitAreRefusedWithTheirBytes() throws {
        var shape = Self.shape
        (shape.layers, shape.heads, shape.hidden, shape.maximumContext) = (4, 16, 8, 3000)
        (shape.headDimension, shape.rotated) = (2, 2)
        let program = shape.program(seed: 1)
        let error = #expect(throws: DyadError.self) {
            try Verification.run(program, tokens: Self.tokens(2500), against: .exact)
        }
        #expect(error?.reason == .unsupported)
        #expect(error?.found.contains("bytes for all tensors of 2500 tokens") == true)
    }
}
