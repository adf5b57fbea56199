import DyadFormats

/// What is done to a model: each ingredient of static quantisation as an independent switch.
///
/// A recipe is a YAML file (``Recipe/init(yaml:file:)``); the built-in ones are listed by ``Recipe/builtIn()``.
public struct Recipe: Equatable, Sendable {
    /// The name under which the results table lists it.
    public var name: String
    /// One sentence for `dyad recipes`.
    public var summary: String
    /// Weight widths and rounding.
    public var weights = Weights()
    /// Activation ranges.
    public var activations = Activations()
    /// The form of attention.
    public var attention = Attention.late
    /// The constant prefix.
    public var prefix = Prefix.none
    /// Rotations.
    public var rotation = Rotation()
    /// Equivalent channel scalings; nil for none.
    public var smoothing: Smoothing?
    /// Activation tensors kept at 16 bit, as patterns of graph names (`layers.*.mlp.down_proj.input`; `*` is one component).
    public var promote: [String] = []

    /// Gradient learning after calibration; nil for none.
    public var learning: Learning?

    /// How the decoder's linear weights are rounded; embedding and head are always i8 per row.
    public struct Weights: Equatable, Sendable {
        /// 4 or 8, per output channel, symmetric.
        public var bits = 8
        /// How integers are found on a given scale.
        public var rounding = Rounding.nearest
        /// How the scale of a row is chosen.
        public var clip = Clip.none

        /// Ways to round weights.
        public enum Rounding: String, CaseIterable, Sendable {
            /// Round to nearest.
            case nearest
            /// Error-compensating rounding (Frantar et al., "GPTQ", 2023) on the quantised network's own inputs.
            case gptq
        }
        /// Ways to choose a row's scale.
        public enum Clip: String, CaseIterable, Sendable {
            /// The scale is the row's largest magnitude.
            case none
            /// The scale minimises the row's squared rounding error.
            case mse
            /// The scale minimises the rounding error weighted with the inputs' second moments (needs `gptq`'s Hessian).
            case hessian
        }
    }

    /// How the 8-bit ranges are chosen. 16-bit tensors always get min–max with headroom ×2.
    public struct Activations: Equatable, Sendable {
        /// How 8-bit ranges are chosen.
        public var range = Range.mse

        /// Ways to choose a range.
        public enum Range: String, CaseIterable, Sendable {
            case minmax
            /// The range that minimises the squared error over the calibration histogram.
            case mse
            /// Percentile 99.99 on both sides.
            case percentile
        }
    }

    /// The form of the attention operation.
    public enum Attention: String, CaseIterable, Sendable {
        /// Un-normalised exponentials, one division after P·V: u8, or u16 where the context exceeds 1024 tokens.
        case late
        /// The same with u16 exponentials at any length.
        case late16 = "late-16"
        /// Normalised probabilities at u16.
        case softmax
    }

    /// The constant key/value prefix that takes the attention sink (research/quantnpu.md §1.8).
    public enum Prefix: Equatable, Sendable {
        case none
        /// The one token, of the tokenizer's special tokens and a few common ones, under which the calibration text is likeliest.
        case automatic
        case tokens([Int32])
    }

    /// Rotations: folded into the weights (R1, R2) or online and integer (R4).
    public struct Rotation: Equatable, Sendable {
        /// R1: a random-sign Hadamard on the residual stream.
        public var residual = false
        /// R2: one per key/value head between v_proj and o_proj.
        public var values = false
        /// R4: the ±1 Hadamard before down_proj, executed by the program.
        public var online = false
    }

    /// SmoothQuant-style equivalent scaling (Xiao et al. 2023; research/mobilequant.md §3.1).
    public struct Smoothing: Equatable, Sendable {
        /// Migration strength: s = amax^α / wmax^(1−α).
        public var alpha: Double
        /// The pairs that are scaled.
        public var sites: Set<Site>

        /// Pairs of producer and consumer that scaling balances.
        public enum Site: String, CaseIterable, Sendable {
            case norms
            case upDown = "up-down"
            case valueOutput = "value-output"
            case queryKey = "query-key"
        }
    }

    /// Learning by gradients: AdamW with a cosine schedule against the float model's output.
    public struct Learning: Equatable, Sendable {
        /// Optimiser steps.
        public var steps = 300
        /// Windows of a step.
        public var batch = 2
        /// Steps in which the rates rise.
        public var warmUp = 10
        /// Learning rates at their highest; 0 leaves a kind of parameter as it is.
        public var rates = Rates()

        /// A rate for each kind of parameter.
        public struct Rates: Equatable, Sendable {
            /// The ends of activation ranges, in units of the initial range.
            public var activations = 1e-3
            /// The logarithms of the weights' row scales.
            public var weightScales = 5e-4
            /// The latent weights, in units of the row's range.
            public var rounding = 3e-4
        }
    }

    /// Creates a recipe that quantises with nearest rounding and no transform.
    public init(name: String, summary: String) {
        self.name = name
        self.summary = summary
    }

    /// Whether an activation tensor of the graph is promoted to 16 bit.
    public func isPromoted(_ tensor: String) -> Bool {
        promote.contains { pattern in
            let wanted = pattern.split(separator: "."), found = tensor.split(separator: ".")
            return wanted.count == found.count && zip(wanted, found).allSatisfy { $0 == "*" || $0 == $1 }
        }
    }
}
