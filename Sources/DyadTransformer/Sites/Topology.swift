import DyadCheckpoint

/// Which linear of a block reads and writes which site. Everything that must know asks here.
public struct Topology: Sendable {
    /// One linear of the blocks: it reads `input`, multiplies by `weight` and writes `output`.
    public struct Linear: Sendable {
        /// The matrix.
        public let weight: WeightKey.Weight
        /// The site that it reads.
        public let input: SiteKey.Site
        /// The site that it writes.
        public let output: SiteKey.Site
    }

    /// The linears of a block, in the order of execution.
    public let linears: [Linear]

    /// The topology of a configuration.
    ///
    /// - Parameter hasOnlineRotation: whether down_proj's input is rotated at run time.
    public init(_ configuration: DecoderConfiguration, hasOnlineRotation: Bool) {
        let isGated = configuration.gated
        let feedForward: SiteKey.Site = configuration.sharedNorm ? .attentionNormOutput : .feedForwardNormOutput
        let inner: SiteKey.Site = hasOnlineRotation ? .downInput : isGated ? .product : .activationOutput
        let all = [
            Linear(weight: .qWeight, input: .attentionNormOutput, output: .qOutput),
            Linear(weight: .kWeight, input: .attentionNormOutput, output: .kOutput),
            Linear(weight: .vWeight, input: .attentionNormOutput, output: .vOutput),
            Linear(weight: .oWeight, input: .attentionOutput, output: .oOutput),
            Linear(weight: .gateWeight, input: feedForward, output: .gateOutput),
            Linear(weight: .upWeight, input: feedForward, output: .upOutput),
            Linear(weight: .downWeight, input: inner, output: .downOutput),
        ]
        linears = all.filter { isGated || $0.weight != .gateWeight }
    }

    /// The linear of a matrix; nil for what is none of a block's.
    public func linear(_ weight: WeightKey.Weight) -> Linear? { linears.first { $0.weight == weight } }

    /// The linears that read a site.
    public func readers(of site: SiteKey.Site) -> [Linear] { linears.filter { $0.input == site } }

    /// The matrices of a layer, in the order of execution.
    public func keys(layer: Int) -> [WeightKey] { linears.map { WeightKey($0.weight, layer: layer) } }
}
