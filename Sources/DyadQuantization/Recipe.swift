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
    /// Calibration windows, unless the user says otherwise: 4-bit weights need more than ranges do.
    public var samples = 32
    /// The constant prefix.
    public var prefix = Prefix.none
    /// Rotations.
    public var rotation = Rotation()
    /// Equivalent channel scalings; nil for none.
    public var smoothing: Smoothing?
    /// Activation tensors kept at 16 bit and weights kept at 8, as patterns of their names (`layers.*.mlp.down_proj.input`,
    /// `layers.0.mlp.down_proj.weight`; `*` is one component).
    public var promote: [String] = []
    /// Which further tensors get more bits, decided by measurement; nil for none.
    public var allocation: Allocation?

    /// Stages of gradient learning after calibration, in order.
    public var learning: [Learning] = []

    /// How the decoder's linear weights are rounded; embedding and head are always i8 per row.
    public struct Weights: Equatable, Sendable {
        /// 4 or 8, per output channel, symmetric.
        public var bits = 8
        /// How integers are found on a given scale.
        public var rounding = Rounding.nearest
        /// How the scale of a row is chosen.
        public var clip = Clip.none
        /// What the rounded weight is to give on the quantised network's inputs.
        public var target = Target.own

        /// Ways to round weights.
        public enum Rounding: String, CaseIterable, Sendable {
            /// Round to nearest.
            case nearest
            /// Error-compensating rounding (Frantar et al., "GPTQ", 2023) on the quantised network's own inputs.
            case gptq
            /// GPTQ from several scales of each row, then coordinate descent over integers and scales (``CoordinateDescent``).
            case descent
        }
        /// What compensated rounding aims at.
        public enum Target: String, CaseIterable, Sendable {
            /// What the float weight gives on the same inputs: only the rounding of this weight is compensated (GPTQ).
            case own = "own-output"
            /// What the float network's linear puts out: errors of its inputs are compensated too (Li et al., "GPTAQ", 2025).
            case float = "float-output"
            /// The same; o_proj and down_proj also make up for what the residual stream lacks by then.
            case residual = "residual-stream"
        }
        /// Ways to choose a row's scale.
        public enum Clip: String, CaseIterable, Sendable {
            /// The scale is the row's largest magnitude.
            case none
            /// The scale minimises the row's squared rounding error.
            case mse
            /// The scale minimises the rounding error weighted with the inputs' second moments (so not with `nearest`).
            case hessian
        }
    }

    /// How the 8-bit ranges are chosen. 16-bit tensors always get min–max with headroom ×2.
    public struct Activations: Equatable, Sendable {
        /// How 8-bit ranges are chosen.
        public var range = Range.mse
        /// The width of what down_proj puts out, 16 or 8; at 8 a pattern may promote it as any other 8-bit tensor.
        public var downOutputBits = 16

        /// Ways to choose a range.
        public enum Range: String, CaseIterable, Sendable {
            case minmax
            /// The range that minimises the squared error over the calibration histogram.
            case mse
            /// As `mse`, with the error taken where it acts: of gate, up and activation in the product of the gated feed-forward part,
            /// of queries and keys in the scores.
            case effect
            /// Percentile 99.99 on both sides.
            case percentile
            /// Mean ± k standard deviations, k by bit width (3.9 at 8 bits), where the values are distributed like a Gaussian,
            /// as after a rotation; min–max elsewhere (Quant.npu).
            case sigma
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

    /// The constant key/value prefix that takes the attention sink (Quant.npu, arXiv 2605.20295).
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

    /// SmoothQuant-style equivalent scaling (Xiao et al. 2023; MobileQuant, Tan et al. 2024).
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

    /// One stage of learning by gradients, with the float model as the teacher.
    public struct Learning: Equatable, Sendable {
        /// What is minimised.
        public var objective = Objective.logits
        /// What turns gradients into steps; the rates follow a cosine to 2 % of their height.
        public var optimizer = Optimizer.adamw
        /// Optimiser steps; of each block where the objective is a block's.
        public var steps = 300
        /// Windows of a step.
        public var batch = 2
        /// Steps in which the rates rise.
        public var warmUp = 10
        /// Learning rates at their highest; 0 leaves a kind of parameter as it is.
        public var rates = Rates()
        /// The pairs whose scalings are learnt, where they have a rate.
        public var scalings = Set(Smoothing.Site.allCases)
        /// Which activations are rounded during the stage, and learnt where they have a rate.
        public var activations = Activations.all
        /// Whether weights are rounded during the stage. Where GPTQ rounds afterwards, rotations are better learnt without
        /// (Quant.npu, arXiv 2605.20295).
        public var quantizesWeights = true
        /// The weight of the sum of relative local errors ‖x − Q(x)‖²/‖x‖² in the loss of the first ``localSteps`` steps.
        public var localWeight = 0.0
        /// Steps with the local term.
        public var localSteps = 128
        /// Whether everything that the stage did not learn is calibrated again afterwards, without gradients.
        public var recalibrates = false

        /// A loss.
        public enum Objective: String, CaseIterable, Sendable {
            /// KL of the student's next-token distribution from the teacher's.
            case logits = "logits-kl"
            /// The likelihood of the calibration text (Quant.npu, SpinQuant): adapts the model to that text.
            case crossEntropy = "cross-entropy"
            /// Squared error of the last block's output, before the final norm (MobileQuant).
            case lastHidden = "last-hidden"
            /// Squared error of each block's output, one block after another (OmniQuant).
            case block = "block-output"
        }

        /// An optimiser.
        public enum Optimizer: String, CaseIterable, Sendable { case adamw, sgd }

        /// Sets of activation tensors.
        public enum Activations: String, CaseIterable, Sendable {
            case all
            /// What linears read: the outputs of the norms and of attention, and down_proj's input.
            case linearInputs = "linear-inputs"
        }

        /// What can be learnt; a raw value is the key under `rates`.
        public enum Parameter: String, CaseIterable, Sendable {
            /// The ends of activation ranges, in units of the initial range.
            case activations
            /// The logits of the shares to which rows are clipped.
            case clipping
            /// The logarithms of the weights' row scales; the integers stay, or are learnt beside them (``rounding``).
            case weightScales = "weight-scales"
            /// The latent weights of learned rounding, in units of the row's range.
            case rounding
            /// The logarithms of the norms' gains.
            case gains
            /// The linears' biases, in standard deviations of what they are added to.
            case biases
            /// The logarithms of channel scalings.
            case scalings
            /// The skew generators of rotations.
            case rotations
        }

        /// The learning rate of each kind of parameter; 0 for what is not learnt.
        public struct Rates: Equatable, Sendable {
            private var values = Parameter.allCases.map { _ in 0.0 }

            /// Creates rates of 0.
            public init() {}

            /// The rate of one kind.
            public subscript(_ parameter: Parameter) -> Double {
                get { values[Self.place(parameter)] }
                set { values[Self.place(parameter)] = newValue }
            }

            private static func place(_ parameter: Parameter) -> Int {
                Parameter.allCases.firstIndex(of: parameter) ?? 0
            }
        }

        /// Creates a stage that learns nothing yet.
        public init() {}

        /// Whether gains or biases are learnt, which belong to the program and not to the float model.
        var learnsVectors: Bool { rates[.gains] > 0 || rates[.biases] > 0 }

        /// Whether equivalent transforms are learnt.
        var learnsTransforms: Bool { rates[.scalings] > 0 || rates[.rotations] > 0 }

        /// Whether weights are rounded to nearest on clipped ranges as it learns, whatever calibration made of them.
        var clipsWeights: Bool { quantizesWeights && (rates[.clipping] > 0 || learnsTransforms) }
    }

    /// Creates a recipe that quantises with nearest rounding and no transform.
    public init(name: String, summary: String) {
        self.name = name
        self.summary = summary
    }

    /// All settings as one text, equal for equal recipes: how a resumed run knows its recipe.
    public var settings: String { Self.text(of: self) }

    private static func text(of value: Any) -> String {
        let mirror = Mirror(reflecting: value)
        if mirror.displayStyle == .set {
            return "[" + mirror.children.map { text(of: $0.value) }.sorted().joined(separator: ",") + "]"
        }
        guard !mirror.children.isEmpty, mirror.displayStyle != .enum else { return "\(value)" }
        return "("
            + mirror.children.map { ($0.label.map { $0 + ":" } ?? "") + text(of: $0.value) }.joined(separator: ",")
            + ")"
    }

    /// Whether a tensor is promoted to its wider type.
    public func isPromoted(_ tensor: String) -> Bool { promote.contains { Self.matches(tensor, $0) } }

    /// Whether a name matches one of the patterns, or there are none.
    static func matches(_ name: String, _ patterns: [String]) -> Bool {
        patterns.isEmpty || patterns.contains { matches(name, $0) }
    }

    private static func matches(_ name: String, _ pattern: String) -> Bool {
        let wanted = pattern.split(separator: "."), found = name.split(separator: ".")
        return wanted.count == found.count && zip(wanted, found).allSatisfy { $0 == "*" || $0 == $1 }
    }
}
