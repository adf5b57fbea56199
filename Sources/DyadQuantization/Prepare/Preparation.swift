import DyadFormats
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// The equivalent transforms of a recipe, in their order: the same function as before, but for the prefix.
struct Preparation {
    let recipe: Recipe
    let seed: UInt64
    let tokenizer: Tokenizer
    let text: CalibrationText
    let progress: ProgressReporter?

    /// Folds everything that the recipe folds into the weights of `decoder`, and gives it the prefix and the online rotation.
    func apply(to decoder: Decoder) throws {
        let configuration = decoder.configuration
        let generator = try Generator(seed: seed)
        let rotation = recipe.rotation
        decoder.weights.untieHead()
        if rotation.residual || recipe.smoothing?.sites.contains(.norms) == true {
            try Transform.foldNorms(&decoder.weights)
        }
        if rotation.residual {
            let matrix = try Transform.randomHadamard(configuration.hiddenSize, generator: generator)
            try Transform.requireRotatable(decoder.weights, configuration)
            try decoder.weights.fold([ResidualRotation(matrix: matrix)])
        }
        if rotation.values {
            for layer in decoder.weights.blocks.indices {
                let matrices = try (0..<configuration.keyValueHeadCount).map { _ in
                    try Transform.randomHadamard(configuration.headDimension, generator: generator)
                }
                let rotation = ValueRotation(
                    layer: layer, configuration: configuration, matrices: try Tensor.stack(matrices))
                try decoder.weights.fold([rotation], layer: layer)
            }
        }
        let prefix = try prefixTokens(decoder)
        decoder.attentionForm = recipe.attention == .softmax ? .softmax : .lateDivision
        if let smoothing = recipe.smoothing {
            if !prefix.isEmpty { decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) } }
            try smooth(decoder, smoothing)
            decoder.prefix = nil
        }
        if rotation.online {
            let block = BlockHadamard(width: configuration.intermediateSize)
            let online = try OnlineRotation(base: block.base(), power: block.power)
            for layer in decoder.weights.blocks.indices {
                try Transform.rotateDownProjection(&decoder.weights.blocks[layer], by: online)
            }
            decoder.onlineRotation = online
        }
        // Last: keys and values in the basis that the program uses.
        if !prefix.isEmpty { decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) } }
    }

    private func prefixTokens(_ decoder: Decoder) throws -> [Int32] {
        switch recipe.prefix {
        case .none: return []
        case .tokens(let ids):
            guard let wrong = ids.first(where: { Int($0) >= decoder.configuration.vocabularySize }) else { return ids }
            throw DyadError(
                .mismatch, file: "recipe \(recipe.name)", subject: "prefix", found: "token id \(wrong)",
                expected: "ids below \(decoder.configuration.vocabularySize)", remedy: "Correct the recipe.")
        case .automatic:
            // The sink shows in any text: a few short windows decide as well as many.
            let windows = text.calibration.prefix(4).map { Array($0.prefix(256)) }
            return [
                try PrefixSearch.bestToken(decoder, tokenizer: tokenizer, windows: windows, progress: progress)
            ]
        }
    }

    private func smooth(_ decoder: Decoder, _ smoothing: Recipe.Smoothing) throws {
        let magnitudes = Transform.ChannelMagnitudes()
        for window in text.calibration.prefix(16) {
            _ = try withNoGrad { try decoder.hiddenStates([window], cache: nil, visitor: magnitudes) }
        }
        for layer in decoder.weights.blocks.indices {
            try Transform.smooth(
                &decoder.weights, layer: layer, magnitudes: magnitudes.values, smoothing,
                configuration: decoder.configuration)
        }
    }
}
