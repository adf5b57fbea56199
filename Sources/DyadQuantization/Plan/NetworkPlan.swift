import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTransformer

/// How a site is rounded.
enum SiteRounding: Equatable {
    /// On a grid whose range calibration finds.
    case observed(Grid)
    /// With an encoding that nothing depends on.
    case fixed(Encoding, IntegerType)
    /// With another site's encoding: constants that stand beside its values.
    case like(SiteKey)
    /// To whole steps of a unit, and clamped nowhere that matters (the prefix's attention weights, u32).
    case steps(Float)
    /// Not at all.
    case exact
}

/// What the recipe says for every site and weight of one network: made once, from recipe, network and context.
///
/// Calibration, learning, sensitivity and lowering read it; allocation makes another with more tensors promoted.
struct NetworkPlan {
    /// With everything that an allocation promoted.
    let recipe: Recipe
    let configuration: DecoderConfiguration
    /// Whether a rotation is executed between the product and down_proj's input.
    let hasOnlineRotation: Bool
    /// Of the late form's exponentials.
    let exponentialType: IntegerType

    /// The longest context for which the exponentials of `late` attention are u8 (the page Numerics, table).
    static let longestNarrowContext = 1024

    /// - Parameter context: token positions that the program must hold, without the prefix.
    init(_ recipe: Recipe, _ configuration: DecoderConfiguration, context: Int) {
        let isNarrow = recipe.attention == .late && context <= Self.longestNarrowContext
        self.init(recipe, configuration, exponentialType: isNarrow ? .u8 : .u16)
    }

    init(_ recipe: Recipe, _ configuration: DecoderConfiguration, exponentialType: IntegerType) {
        (self.recipe, self.configuration, self.exponentialType) = (recipe, configuration, exponentialType)
        hasOnlineRotation = recipe.rotation.online
    }

    /// Who reads and writes what.
    var topology: Topology { Topology(configuration, hasOnlineRotation: hasOnlineRotation) }

    /// The same with more tensors promoted.
    func promoting(_ names: [String]) -> NetworkPlan {
        var recipe = recipe
        recipe.promote += names
        return NetworkPlan(recipe, configuration, exponentialType: exponentialType)
    }

    // MARK: Sites

    /// How a site is rounded (MobileQuant, Tan et al. 2024, with the changes of the page Numerics).
    func rounding(of key: SiteKey) -> SiteRounding {
        switch key.site {
        case .downOutput where recipe.activations.downOutputBits == 8: .observed(promotable(key))
        case .embeddingOutput, .residual, .attentionResidual, .finalResidual, .scores, .oOutput, .downOutput,
            .postAttentionNormOutput, .postFeedForwardNormOutput:
            .observed(.centred16)
        case .kRotated, .vOutput: .observed(.centred8)
        case .product where hasOnlineRotation: .observed(.centred16)
        // Wider heads than the kernels' sums hold stay at 8 bit.
        case .qRotated where configuration.headDimension > Operation.Matmul.widestHead: .observed(.unsigned8)
        case .qRotated, .attentionNormOutput, .feedForwardNormOutput, .finalNormOutput, .qOutput, .kOutput,
            .qNormOutput,
            .kNormOutput, .attentionOutput, .gateOutput, .upOutput, .activationOutput, .product, .downInput:
            .observed(promotable(key))
        case .exponentials: .fixed(Encoding(scale: 1 / exponentialUnit, zeroPoint: 0), exponentialType)
        case .prefixWeights: .steps(exponentialUnit)
        case .probabilities: .fixed(Encoding(scale: 1 / 65535, zeroPoint: 0), .u16)
        case .prefixKeys: .like(SiteKey(.kRotated, layer: key.layer))
        case .prefixValues: .like(SiteKey(.vOutput, layer: key.layer))
        case .logits: .exact
        }
    }

    /// The grid whose range calibration must find; nil for sites with a fixed encoding or none.
    func grid(_ key: SiteKey) -> Grid? {
        guard case .observed(let grid) = rounding(of: key) else { return nil }
        return grid
    }

    /// Whether a pattern of `promote` makes a site 16 bit.
    func canPromote(_ key: SiteKey) -> Bool {
        var single = recipe
        single.promote = [key.name]
        return NetworkPlan(single, configuration, exponentialType: exponentialType).grid(key) == .centred16
    }

    private func promotable(_ key: SiteKey) -> Grid { recipe.isPromoted(key.name) ? .centred16 : .unsigned8 }

    private var exponentialUnit: Float { Float(exponentialType.range.upperBound) }

    // MARK: Weights

    /// The width of a weight.
    func bits(of key: WeightKey) -> Int {
        key.layer != nil && recipe.weights.bits == 4 && !recipe.isPromoted(key.name) ? 4 : 8
    }

    // MARK: Checks

    /// A pattern that promotes nothing is a slip that nobody would notice otherwise.
    ///
    /// - Throws: ``DyadError`` `mismatch` naming the pattern.
    func checkPromotions() throws(DyadError) {
        let layers = configuration.layerCount
        // 8-bit weights have no wider type.
        let weights = recipe.weights.bits == 8 ? [] : (0..<layers).flatMap { topology.keys(layer: $0) }
        for pattern in recipe.promote {
            guard
                weights.contains(where: { Recipe.matches($0.name, [pattern]) })
                    || SiteKey.all(layers: layers).contains(where: {
                        // A recipe serves wide heads too, whose queries then stay as they are.
                        Recipe.matches($0.name, [pattern]) && (canPromote($0) || $0.site == .qRotated)
                    })
            else {
                throw DyadError(
                    .mismatch, file: "recipe \(recipe.name)", subject: "promote", found: "the pattern “\(pattern)”",
                    expected:
                        "a pattern of 4-bit weights, or of activation tensors that may be 16 bit, as layers.*.mlp.down_proj.input",
                    remedy:
                        "Take the names from `dyad inspect` of a quantised file; what the caches hold stays at 8 bit."
                )
            }
        }
    }
}
