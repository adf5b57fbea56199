import DyadGraph
import DyadQuantization
import DyadTensor

/// A program executed in float with quantise–dequantise at every tensor (``SimulatedProgram``).
public struct SimulatedModel: LanguageModel {
    private let simulation: SimulatedProgram
    /// Names it in reports.
    public let name: String

    /// Creates the adapter; without kept weights it takes no more memory than one of them (``SimulatedProgram``).
    public init(_ program: IntegerProgram, name: String, keepsWeights: Bool = true) {
        simulation = SimulatedProgram(program, keepsWeights: keepsWeights)
        self.name = name
    }

    /// Logits per position.
    public var vocabularySize: Int { simulation.program.graph.vocabularySize }

    /// As ``LanguageModel`` says.
    public func evaluate(
        window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let logits = try simulation.logits(window).contiguous()
        let outcome = try logits.withUnsafeBytes { bytes in
            Result { try body(0..<window.count, bytes.bindMemory(to: Float.self)) }
        }
        try outcome.get()
    }
}
