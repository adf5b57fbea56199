/// How a family's tensors are called and ordered in GGUF files, for writers.
public struct GGUFLayout: Sendable {
    /// `general.architecture`.
    public let architecture: String
    private let interleaves: Bool

    /// The layout of a family by its `model_type`; nil where GGUF has none, or computes the embedding in another way.
    public init?(family modelType: String) {
        guard let family = Family.table.first(where: { $0.modelType == modelType }),
            let architecture = family.architecture, !family.scalesEmbedding, family.normKind == .rms
        else { return nil }
        (self.architecture, interleaves) = (architecture, family.interleavedInGGUF)
    }

    /// The GGUF name of a canonical tensor (`model.layers.0.mlp.up_proj.weight`); nil where GGUF has none.
    public func name(of canonical: String) -> String? { Family.ggufName(of: canonical) }

    /// For each row of the GGUF tensor the canonical row that it holds: the two rows of a rotary pair of q and k stand side by side in
    /// llama's files.
    public func rowOrder(of canonical: String, rows: Int, headDimension: Int) -> [Int] {
        let isPaired = canonical.contains(".q_proj.") || canonical.contains(".k_proj.")
        guard interleaves, isPaired, headDimension > 0, rows % headDimension == 0 else { return Array(0..<rows) }
        return (0..<rows).map { row in
            let (head, place) = row.quotientAndRemainder(dividingBy: headDimension)
            return head * headDimension + place % 2 * headDimension / 2 + place / 2
        }
    }
}
