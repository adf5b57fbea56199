import DyadFormats

extension DecoderConfiguration {
    /// Layers that see only the last positions compute what Dyad computes as long as a text is no longer than their
    /// window: beyond it ``maximumPositions`` ends.
    mutating func readWindow(_ config: JSONField, _ family: Family) throws(DyadError) {
        let types = try Self.layerTypes(config, count: layerCount)
        let window: Int?
        switch family.window {
        case .never: window = nil
        case .always(let absent):
            let field = try config.object()["sliding_window"] == nil ? nil : config.member("sliding_window")
            window = field == nil ? absent : field?.value.isNull == true ? nil : try field?.integer(in: 1...Int.max)
        case .optional(let absent, let firstLayer):
            let isOn = try config.optional("use_sliding_window")?.bool() ?? false
            let first = try config.optional("max_window_layers")?.integer() ?? firstLayer
            let slides = types?.contains { $0.value.string == "sliding_attention" } ?? (first < layerCount)
            if !isOn, types != nil, slides, let field = types?.first(where: { $0.value.string == "sliding_attention" })
            {
                throw field.failure(
                    .mismatch, found: "\"sliding_attention\" where use_sliding_window is not true",
                    expected: "full_attention, or a window", remedy: "Correct the one or the other.")
            }
            let said = try config.object()["sliding_window"]
            let length = said == nil ? absent : try config.optional("sliding_window")?.integer(in: 1...Int.max)
            window = isOn && slides ? length : nil
        }
        if let window { maximumPositions = min(maximumPositions, window) }
    }

    /// `layer_types`, one a layer: a kind that Dyad does not know is refused.
    private static func layerTypes(_ config: JSONField, count: Int) throws(DyadError) -> [JSONField]? {
        guard let field = try config.optional("layer_types") else { return nil }
        let types = Array(try field.elements())
        guard types.count == count else {
            throw field.failure(
                .mismatch, found: "\(types.count) types of layers", expected: "\(count), as num_hidden_layers says",
                remedy: "Correct the one or the other.")
        }
        for type in types where try !["full_attention", "sliding_attention"].contains(type.string()) {
            throw type.failure(
                .unsupported, found: "\"\(try type.string())\"", expected: "full_attention or sliding_attention",
                remedy: "Use a model without it.")
        }
        return types
    }
}
