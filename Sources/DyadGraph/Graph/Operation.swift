/// One step of the integer program, at the level that NPUs know.
///
/// The page Numerics gives the arithmetic of each kind; ``ReferenceInterpreter`` is its executable form. All multipliers
/// follow from the encodings of the tensors named here.
public struct Operation: Equatable, Sendable {
    /// Unique, for example `layers.3.mlp.down_proj`.
    public var name: String
    /// What it does, with its operands.
    public var kind: Kind

    /// Creates an operation.
    public init(name: String, kind: Kind) {
        self.name = name
        self.kind = kind
    }

    /// The operations.
    public enum Kind: Equatable, Sendable {
        case embed(Embed)
        case rmsNorm(Normalization)
        case layerNorm(Normalization)
        case linear(Linear)
        case rotary(Rotary)
        case cacheAppend(CacheAppend)
        case matmul(Matmul)
        case mask(Unary)
        case softmax(Unary)
        case exponential(Exponential)
        case lateAttention(LateAttention)
        case lookup(Lookup)
        case multiply(Binary)
        case add(Binary)
        case requantize(Requantize)
        case hadamard(Hadamard)
        case concatenate(Concatenate)
        case slice(Slice)
        case logits(Linear)
    }

    /// One input, one output, nothing else to know.
    ///
    /// `mask`: scores `[heads, tokens, context]` to the same, columns later than the token's own position set to the
    /// type's lowest value (`softmax` and `exponential` skip those columns by index, whatever they hold).
    /// `softmax`: masked scores u16 to probabilities u16 (scale 1/65535, zero point 0).
    public struct Unary: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, output: TensorID) {
            self.input = input
            self.output = output
        }
    }

    /// Two inputs of equal shape.
    public struct Binary: Equatable, Sendable {
        /// The first addend or factor.
        public var left: TensorID
        /// The second addend or factor.
        public var right: TensorID
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(left: TensorID, right: TensorID, output: TensorID) {
            self.left = left
            self.right = right
            self.output = output
        }
    }

    /// Rows of a table: token ids to `[tokens, hidden]`. `weight` is i8 `[vocabulary, hidden]`, `scales` f32 `[vocabulary]`.
    public struct Embed: Equatable, Sendable {
        /// The constant with the weights.
        public var weight: String
        /// The constant with a scale a row.
        public var scales: String
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(weight: String, scales: String, output: TensorID) {
            self.weight = weight
            self.scales = scales
            self.output = output
        }
    }

    /// Normalisation over runs of `size` elements of the last axis (`size` divides it: heads are normalised one by one).
    ///
    /// `gain` is f32 `[size]`, or nil for all ones; `bias` (layerNorm only) f32 `[size]`. `epsilon` is the float32 of the model.
    public struct Normalization: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant g, or nil for all ones.
        public var gain: String?
        /// The constant b of a layerNorm, or nil for none.
        public var bias: String?
        /// Added to the mean square, in squared real units.
        public var epsilon: Float
        /// Elements that are normalised together.
        public var size: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, gain: String?, bias: String? = nil, epsilon: Float, size: Int, output: TensorID) {
            self.input = input
            self.gain = gain
            self.bias = bias
            self.epsilon = epsilon
            self.size = size
            self.output = output
        }
    }

    /// `[tokens, in]` times `weight` i8 or i4 `[out, in]`, per-row `scales` f32 `[out]`, plus `bias` i32 `[out]` at scale s_x·s_w.
    ///
    /// As `logits`, the output is i32 at scale 2⁻¹⁶, saturating.
    public struct Linear: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant with the weights.
        public var weight: String
        /// The constant with a scale a row.
        public var scales: String
        /// The constant with the biases, or nil for none.
        public var bias: String?
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, weight: String, scales: String, bias: String? = nil, output: TensorID) {
            self.input = input
            self.weight = weight
            self.scales = scales
            self.bias = bias
            self.output = output
        }
    }

    /// Rotary embedding of `[tokens, heads · headDimension]`: within each head, channel i < rotated/2 pairs with
    /// i + rotated/2; channels from `rotated` on are rescaled only.
    ///
    /// `cosine`, `sine`: i16 `[maximumContext, rotated/2]` in Q1.14, row = absolute position (prefix included).
    public struct Rotary: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The table of cosines.
        public var cosine: String
        /// The table of sines.
        public var sine: String
        /// Channels of one head.
        public var headDimension: Int
        /// Channels of a head that are rotated; even.
        public var rotated: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(
            input: TensorID, cosine: String, sine: String, headDimension: Int, rotated: Int, output: TensorID
        ) {
            self.input = input
            self.cosine = cosine
            self.sine = sine
            self.headDimension = headDimension
            self.rotated = rotated
            self.output = output
        }
    }

    /// Appends `[tokens, keyValueHeads · headDimension]` to the cache number `cache`; the encodings are equal, so it copies.
    public struct CacheAppend: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int

        /// Creates the operands.
        public init(input: TensorID, cache: Int) {
            self.input = input
            self.cache = cache
        }
    }

    /// A product with a cache.
    ///
    /// `queryKey`: queries u8 `[tokens, heads · d]` with K: scores `[heads, tokens, context]`, times `factor` (1/√d as float32).
    /// `weightedValues`: probabilities u16 `[heads, tokens, context]` with V: `[tokens, heads · d]`; `factor` is 1.
    /// Query head h reads key/value head `h / (heads / keyValueHeads)`.
    public struct Matmul: Equatable, Sendable {
        /// With keys to scores, or with values to the attention's output.
        public enum Form: String, Codable, Sendable { case queryKey, weightedValues }
        /// Which product.
        public var form: Form
        /// The tensor it reads.
        public var input: TensorID
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int
        /// A float32 by which the real value is multiplied.
        public var factor: Float
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(form: Form, input: TensorID, cache: Int, factor: Float, output: TensorID) {
            self.form = form
            self.input = input
            self.cache = cache
            self.factor = factor
            self.output = output
        }
    }

    /// `exp(score − m)`, m the maximum over the row's visible non-prefix columns.
    ///
    /// Input: masked scores `[heads, tokens, context]` u16. `output`: u8 or u16 of the same shape, scale 1/255 or 1/65535,
    /// zero point 0; zero in prefix columns and masked columns. `prefixWeights`: u32 `[heads, tokens, prefix]` in the
    /// output's unit, saturating; nil without a prefix.
    public struct Exponential: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The tensor it writes.
        public var output: TensorID
        /// The weights of the prefix columns; nil without a prefix.
        public var prefixWeights: TensorID?

        /// Creates the operands.
        public init(input: TensorID, output: TensorID, prefixWeights: TensorID?) {
            self.input = input
            self.output = output
            self.prefixWeights = prefixWeights
        }
    }

    /// `(Σ e·v + Σ w·v_prefix) / (Σ e + Σ w)`: `[heads, tokens, context]` with V to `[tokens, heads · d]`.
    public struct LateAttention: Equatable, Sendable {
        /// The output of an ``Exponential``.
        public var exponentials: TensorID
        /// The weights of the prefix columns; nil without a prefix.
        public var prefixWeights: TensorID?
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(exponentials: TensorID, prefixWeights: TensorID?, cache: Int, output: TensorID) {
            self.exponentials = exponentials
            self.prefixWeights = prefixWeights
            self.cache = cache
            self.output = output
        }
    }

    /// The functions that tables hold; the raw values are their names in files. Whoever reads or writes one switches over these
    /// cases, so that no two parts of Dyad can spell a function differently.
    public enum Function: String, CaseIterable, Sendable {
        /// x · sigmoid(x)
        case silu
        /// x · Φ(x), exactly
        case gelu
        /// GELU by its tanh approximation
        case geluTanh = "gelu_tanh"
        /// max(x, 0)
        case relu

        /// The function of a name in a file. Early programs spell the tanh form `geluTanh`.
        public init?(name: String) {
            self.init(rawValue: name == "geluTanh" ? "gelu_tanh" : name)
        }
    }

    /// A unary function by table: u8 input with a table of 256, u16 input with one of 65,536, entries of the output's type.
    public struct Lookup: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant with the entries.
        public var table: String
        /// The function the table holds, for exporters and the simulator.
        public var function: Function
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, table: String, function: Function, output: TensorID) {
            self.input = input
            self.table = table
            self.function = function
            self.output = output
        }
    }

    /// To another encoding or type; the value is multiplied by `factor` (the 1/√n of a Hadamard, else 1).
    public struct Requantize: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// A float32 by which the real value is multiplied.
        public var factor: Float
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, factor: Float, output: TensorID) {
            self.input = input
            self.factor = factor
            self.output = output
        }
    }

    /// `y = x·H` on centred integers, exact in i32: the last axis is cut into blocks of `base.count · power`; H is
    /// `base ⊗ Sylvester(power)`, entries ±1 (index = baseIndex · power + sylvesterIndex).
    ///
    /// The output has the input's scale and zero point 0. `base` holds rows of ±1, one string of `+`/`-` a row; `["+"]` for order 1.
    public struct Hadamard: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The rows of the base matrix, `+` and `-`.
        public var base: [String]
        /// The order of Sylvester's matrix, a power of two.
        public var power: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, base: [String], power: Int, output: TensorID) {
            self.input = input
            self.base = base
            self.power = power
            self.output = output
        }
    }

    /// Along the last axis; all encodings are equal.
    public struct Concatenate: Equatable, Sendable {
        /// The tensors it reads, in order.
        public var inputs: [TensorID]
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(inputs: [TensorID], output: TensorID) {
            self.inputs = inputs
            self.output = output
        }
    }

    /// Elements `start ..< start + count` of the last axis; the encoding stays.
    public struct Slice: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The first element that is kept.
        public var start: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, start: Int, output: TensorID) {
            self.input = input
            self.start = start
            self.output = output
        }
    }
}
