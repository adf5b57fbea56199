import DyadFormats

extension DecoderConfiguration {
    /// The switches that people and exporters read in a file's `dyad.configuration`.
    public var json: JSONValue {
        .object(
            JSONObject([
                ("family", .string(family)), ("vocabulary_size", .integer(vocabularySize)),
                ("hidden_size", .integer(hiddenSize)), ("intermediate_size", .integer(intermediateSize)),
                ("layer_count", .integer(layerCount)), ("head_count", .integer(headCount)),
                ("key_value_head_count", .integer(keyValueHeadCount)), ("head_dimension", .integer(headDimension)),
                ("norm", .string(normKind.rawValue)), ("activation", .string(activation.rawValue)),
                ("gated", .bool(gated)), ("rotary_fraction", .number(rotaryFraction)),
                ("rope_theta", .number(ropeTheta)),
                ("tie_word_embeddings", .bool(tieWordEmbeddings)), ("maximum_positions", .integer(maximumPositions)),
            ]))
    }
}
