import DyadFormats

extension DecoderConfiguration {
    /// Reads how the rotary frequencies are made, as transformers 5.24 standardises it
    /// (`RotaryEmbeddingConfigMixin`): `rope_scaling`, unless it is null or empty, counts instead of all of
    /// `rope_parameters`; what the chosen one does not say, `rope_theta` and `partial_rotary_factor` at the root do.
    mutating func readRotation(_ config: JSONField, _ family: Family) throws(DyadError) {
        func stated(_ name: String) throws(DyadError) -> JSONField? {
            guard let field = try config.optional(name), try !field.object().isEmpty else { return nil }
            return field
        }
        var parameters = try stated("rope_scaling")
        if parameters == nil { parameters = try stated("rope_parameters") }
        func first(_ name: String) throws(DyadError) -> JSONField? {
            if let field = try parameters?.optional(name) { return field }
            return try config.optional(name)
        }
        if let theta = try first("rope_theta") { ropeTheta = try theta.double() }
        rotaryFraction = family.rotaryFraction
        if let field = try first("partial_rotary_factor") {
            rotaryFraction = try field.double()
            guard family.rotatesInPart || rotaryFraction == 1 else {
                throw field.failure(
                    .unsupported, found: "\(rotaryFraction)", expected: "1: models of the family rotate whole heads",
                    remedy: "transformers has no \(family.modelType) that rotates a part: use a model without it.")
            }
        }
        guard let parameters else { return }
        for (_, field) in try parameters.members() where field.value.object != nil {
            throw field.failure(
                .unsupported, found: "parameters for one kind of layer", expected: "the same for all layers",
                remedy: "Dyad does not know layers that rotate differently yet.")
        }
        var type = try parameters.optional("rope_type")
        if type == nil { type = try parameters.optional("type") }
        try readScaling(type, parameters, config)
    }

    private mutating func readScaling(
        _ type: JSONField?, _ parameters: JSONField, _ config: JSONField
    ) throws(DyadError) {
        switch try type?.string() ?? "default" {
        case "default": try Self.refuseScaling(without: type, parameters)
        case "linear": ropeScaling = .linear(factor: try Self.positive(parameters.member("factor")))
        case "llama3":
            let positions = try parameters.optional("original_max_position_embeddings")
            ropeScaling = .llama3(
                factor: try Self.positive(parameters.member("factor")),
                lowFrequencyFactor: try Self.positive(parameters.member("low_freq_factor")),
                highFrequencyFactor: try Self.positive(parameters.member("high_freq_factor")),
                // Not the field of this name at the root, which transformers asks of other families only.
                originalPositions: try positions?.integer(in: Limits.positions) ?? maximumPositions)
        default:
            guard let type else { return }
            throw type.failure(
                .unsupported, found: "\"\(try type.string())\"", expected: "default, linear or llama3",
                remedy: "Dyad does not know this scaling of rotary positions yet.")
        }
    }

    /// Parameters of a scaling where no scaling is named. transformers leaves them out with a warning.
    private static func refuseScaling(without type: JSONField?, _ parameters: JSONField) throws(DyadError) {
        let names = [
            "factor", "low_freq_factor", "high_freq_factor", "short_factor", "long_factor", "attention_factor",
            "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
        ]
        for name in names {
            guard let field = try parameters.optional(name), field.value.double != 1 else { continue }
            let said = type == nil ? "no rope_type" : "the rope_type \"default\""
            throw field.failure(
                .mismatch, found: "\(field.value.text().prefix(40)) beside \(said)",
                expected: "a rope_type in \(parameters.path) that uses it, or no \(name)",
                remedy: "Say which is meant: transformers would not scale at all.")
        }
    }

    private static func positive(_ field: JSONField) throws(DyadError) -> Double {
        let value = try field.double()
        guard value > 0 else { throw field.failure(.malformed, found: "\(value)", expected: "a number above 0") }
        return value
    }
}
