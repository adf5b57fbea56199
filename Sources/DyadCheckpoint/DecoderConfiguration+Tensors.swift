extension DecoderConfiguration {
    /// The canonical names and shapes (outermost dimension first) of every tensor a model of this configuration
    /// consists of, in the order of the forward pass. ``WeightKey`` has the names.
    public func tensorShapes() -> [(name: String, shape: [Int])] {
        var tensors: [(name: String, shape: [Int])] = []
        func add(_ weight: WeightKey.Weight, _ layer: Int?, _ shape: [Int]) {
            tensors.append((WeightKey(weight, layer: layer).checkpointName, shape))
        }
        func norm(_ gain: WeightKey.Weight, _ bias: WeightKey.Weight, _ layer: Int?) {
            add(gain, layer, [hiddenSize])
            if normKind == .layer { add(bias, layer, [hiddenSize]) }
        }
        func linear(_ weight: WeightKey.Weight, _ layer: Int, _ outputs: Int, _ inputs: Int, bias hasBias: Bool) {
            add(weight, layer, [outputs, inputs])
            if hasBias, let bias = weight.bias { add(bias, layer, [outputs]) }
        }
        add(.embedding, nil, [vocabularySize, hiddenSize])
        for layer in 0..<layerCount {
            norm(.inputNormGain, .inputNormBias, layer)
            linear(.qWeight, layer, queryWidth, hiddenSize, bias: attentionBias)
            linear(.kWeight, layer, keyValueWidth, hiddenSize, bias: attentionBias)
            linear(.vWeight, layer, keyValueWidth, hiddenSize, bias: attentionBias)
            if queryKeyNorm {
                add(.qNormGain, layer, [headDimension])
                add(.kNormGain, layer, [headDimension])
            }
            linear(.oWeight, layer, hiddenSize, queryWidth, bias: attentionOutputBias)
            if postNorms { norm(.postAttentionNormGain, .postAttentionNormBias, layer) }
            if !sharedNorm { norm(.feedForwardNormGain, .feedForwardNormBias, layer) }
            if gated { linear(.gateWeight, layer, intermediateSize, hiddenSize, bias: mlpBias) }
            linear(.upWeight, layer, intermediateSize, hiddenSize, bias: mlpBias)
            linear(.downWeight, layer, hiddenSize, intermediateSize, bias: mlpBias)
            if postNorms { norm(.postFeedForwardNormGain, .postFeedForwardNormBias, layer) }
        }
        norm(.finalNormGain, .finalNormBias, nil)
        if !tieWordEmbeddings { add(.headWeight, nil, [vocabularySize, hiddenSize]) }
        return tensors
    }
}
