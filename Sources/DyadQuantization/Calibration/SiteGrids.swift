import DyadGraph
import DyadTransformer

/// Which integer grid each site uses (MobileQuant, Tan et al. 2024, with the changes of the page Numerics).
struct SiteGrids {
    let recipe: Recipe
    /// Whether a rotation is executed between the product and down_proj's input.
    let hasOnlineRotation: Bool

    /// The grid whose range calibration must find; nil for sites with a fixed encoding or none.
    func grid(_ key: SiteKey) -> Grid? {
        switch key.site {
        case .downOutput where recipe.activations.downOutputBits == 8:
            return recipe.isPromoted(key.name) ? .centred16 : .unsigned8
        case .embeddingOutput, .residual, .attentionResidual, .finalResidual, .scores, .oOutput, .downOutput,
            .postAttentionNormOutput, .postFeedForwardNormOutput:
            return .centred16
        case .kRotated, .vOutput: return .centred8
        case .product where hasOnlineRotation: return .centred16
        case .qRotated: return .unsigned8
        case .attentionNormOutput, .feedForwardNormOutput, .finalNormOutput, .qOutput, .kOutput, .qNormOutput,
            .kNormOutput, .attentionOutput, .gateOutput, .upOutput, .activationOutput, .product, .downInput:
            return recipe.isPromoted(key.name) ? .centred16 : .unsigned8
        case .exponentials, .prefixWeights, .probabilities, .prefixKeys, .prefixValues, .logits: return nil
        }
    }
}
