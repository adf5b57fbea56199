import DyadFormats

/// The forms of GELU that checkpoints name.
public enum GELUApproximation: Sendable {
    /// x · Φ(x) with the error function (`gelu`).
    case none
    /// The tanh formula (`gelu_new`, `gelu_pytorch_tanh`).
    case tanh
}

extension Tensor {
    /// √x, NaN below 0.
    public func sqrt() throws(DyadError) -> Tensor { try Self.call("aten::sqrt", .tensor(self)) }
    /// 1 / √x.
    public func rsqrt() throws(DyadError) -> Tensor { try Self.call("aten::rsqrt", .tensor(self)) }
    /// x².
    public func square() throws(DyadError) -> Tensor { try Self.call("aten::square", .tensor(self)) }
    /// 1 / x.
    public func reciprocal() throws(DyadError) -> Tensor { try Self.call("aten::reciprocal", .tensor(self)) }
    /// eˣ.
    public func exp() throws(DyadError) -> Tensor { try Self.call("aten::exp", .tensor(self)) }
    /// The natural logarithm.
    public func log() throws(DyadError) -> Tensor { try Self.call("aten::log", .tensor(self)) }
    /// The logarithm to base 2.
    public func log2() throws(DyadError) -> Tensor { try Self.call("aten::log2", .tensor(self)) }
    /// The sine of an angle in radians.
    public func sin() throws(DyadError) -> Tensor { try Self.call("aten::sin", .tensor(self)) }
    /// The cosine of an angle in radians.
    public func cos() throws(DyadError) -> Tensor { try Self.call("aten::cos", .tensor(self)) }
    /// The hyperbolic tangent.
    public func tanh() throws(DyadError) -> Tensor { try Self.call("aten::tanh", .tensor(self)) }
    /// The error function.
    public func erf() throws(DyadError) -> Tensor { try Self.call("aten::erf", .tensor(self)) }
    /// 1 / (1 + e⁻ˣ).
    public func sigmoid() throws(DyadError) -> Tensor { try Self.call("aten::sigmoid", .tensor(self)) }
    /// x · sigmoid(x).
    public func silu() throws(DyadError) -> Tensor { try Self.call("aten::silu", .tensor(self)) }
    /// max(x, 0).
    public func relu() throws(DyadError) -> Tensor { try Self.call("aten::relu", .tensor(self)) }
    /// log(1 + eˣ).
    public func softplus() throws(DyadError) -> Tensor { try Self.call("aten::softplus", .tensor(self)) }
    /// The magnitude.
    public func abs() throws(DyadError) -> Tensor { try Self.call("aten::abs", .tensor(self)) }
    /// −1, 0 or 1.
    public func sign() throws(DyadError) -> Tensor { try Self.call("aten::sign", .tensor(self)) }
    /// To the nearest integer, halves to the even one. (Dyad's quantisers round halves up: see `fakeQuantize`.)
    public func round() throws(DyadError) -> Tensor { try Self.call("aten::round", .tensor(self)) }
    /// The largest integer not above x.
    public func floor() throws(DyadError) -> Tensor { try Self.call("aten::floor", .tensor(self)) }
    /// The smallest integer not below x.
    public func ceil() throws(DyadError) -> Tensor { try Self.call("aten::ceil", .tensor(self)) }
    /// Towards zero.
    public func trunc() throws(DyadError) -> Tensor { try Self.call("aten::trunc", .tensor(self)) }

    /// x · Φ(x), exact or by the tanh formula.
    public func gelu(_ approximation: GELUApproximation = .none) throws(DyadError) -> Tensor {
        let name: StaticString =
            switch approximation {
            case .none: "none"
            case .tanh: "tanh"
            }
        return try Self.call("aten::gelu", .tensor(self), .string(name))
    }

    /// Each element limited to [`low`, `high`]; the gradient is 1 inside (bounds included), 0 outside.
    public func clamp<Scalar: TensorScalar>(_ low: Scalar?, _ high: Scalar?) throws(DyadError) -> Tensor {
        try Self.call("aten::clamp", .tensor(self), .scalar(low), .scalar(high))
    }

    /// As `clamp` with numbers; the bounds broadcast.
    public func clamp(_ low: Tensor?, _ high: Tensor?) throws(DyadError) -> Tensor {
        try Self.call("aten::clamp.Tensor", .tensor(self), .optional(low), .optional(high))
    }

    /// True where finite.
    public func isFinite() throws(DyadError) -> Tensor { try Self.call("aten::isfinite", .tensor(self)) }
    /// True where NaN.
    public func isNaN() throws(DyadError) -> Tensor { try Self.call("aten::isnan", .tensor(self)) }
}
