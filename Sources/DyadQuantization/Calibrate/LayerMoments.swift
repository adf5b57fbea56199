import DyadFormats
import DyadTensor
import DyadTransformer

/// The float network beside the calibrated one, block by block: what compensated rounding aims at.
struct FloatStream {
    private let decoder: Decoder
    /// What the current block puts out, batch by batch.
    private(set) var hidden: [Tensor] = []
    /// What the sites of the current block hold, batch by batch.
    private(set) var sites: [SiteKey.Site: [Tensor]] = [:]

    init(_ decoder: Decoder) throws {
        self.decoder = try decoder.copy()
        // The same function in real numbers, with libtorch's fused attention.
        self.decoder.attentionForm = .softmax
    }

    mutating func embed(_ batch: [[Int32]]) throws {
        hidden.append(try withNoGrad { try decoder.embed(batch) })
    }

    /// Runs the next block and keeps its sites.
    mutating func advance(_ layer: Int, keeping wanted: Set<SiteKey.Site>) throws {
        let recorder = SiteRecorder(wanted)
        sites = [:]
        for index in hidden.indices {
            hidden[index] = try withNoGrad { try decoder.blockForward(layer, hidden[index], visitor: recorder) }
            for (site, value) in recorder.values { sites[site, default: []].append(value) }
        }
    }
}

/// Keeps what some sites hold in the last pass.
private final class SiteRecorder: SiteVisitor {
    private let wanted: Set<SiteKey.Site>
    private(set) var values: [SiteKey.Site: Tensor] = [:]

    init(_ wanted: Set<SiteKey.Site>) { self.wanted = wanted }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        if wanted.contains(key.site) { values[key.site] = x }
        return x
    }
}

/// Sums over the calibration text for the linears that read one site: the second moments of the quantised network's values x̂,
/// and their products with what the float network has, x, and with what the residual stream lacks, r − r̂.
///
/// Where the linears' output is added to the residual stream, a position counts with the inverse of the stream's energy
/// there: the norm that reads the stream divides by it, and a few massive activations would otherwise be all that counts.
final class LayerMoments: SiteVisitor {
    /// The sums over one half of the text, float64.
    private struct Sums {
        /// Σ x̂·x̂ᵀ, `[inputs, inputs]`.
        var own: Tensor
        /// Σ x̂·xᵀ, likewise.
        var cross: Tensor
        /// Σ x̂·(r − r̂)ᵀ, `[inputs, hidden]`.
        var lacking: Tensor?

        func adding(_ other: Sums) throws -> Sums {
            Sums(
                own: try own + other.own, cross: try cross + other.cross,
                lacking: try lacking.map { first in try other.lacking.map { try first + $0 } ?? first })
        }

        /// Σ x̂·yᵀ for the outputs y that `weight`, float64, is to give.
        func right(_ weight: Tensor) throws -> Tensor {
            let product = try cross.matmul(weight.transpose())
            return try lacking.map { try product + $0 } ?? product
        }

        /// argmin over V of Σ ‖y − V·x̂‖² + λ‖V − W‖², transposed.
        func solution(_ weight: Tensor, damping: Double) throws -> Tensor {
            let pull = try own.diagonal().mean().item() * damping
            let factor = try (own + Tensor.eye(own.size(0), dtype: .float64) * pull).cholesky()
            return try factor.choleskySolve(right(weight) + weight.transpose() * pull)
        }

        /// Σ ‖y − V·x̂‖² without the part that does not depend on V; `transposed` is Vᵀ.
        func error(_ transposed: Tensor, _ weight: Tensor) throws -> Double {
            try (transposed * (own.matmul(transposed) - right(weight) * 2)).sum().item()
        }
    }

    private var halves: [Sums?] = [nil, nil]
    private let inner: QuantizingVisitor
    private let site: SiteKey.Site
    private let stream: SiteKey.Site?
    private let correctsStream: Bool
    private var half = 0
    private var floatInput: Tensor?
    private var floatStream: Tensor?
    private var rowFactor: Tensor?
    private var streamError: Tensor?

    /// - Parameters:
    ///   - site: what the linears read.
    ///   - stream: the site of the residual stream that their output is added to; nil where it is not.
    ///   - correctsStream: whether they are to make up for the stream's error.
    init(_ inner: QuantizingVisitor, site: SiteKey.Site, addedTo stream: SiteKey.Site?, correctsStream: Bool) {
        (self.inner, self.site, self.stream, self.correctsStream) = (inner, site, stream, correctsStream)
    }

    /// Thrown when everything that is wanted of a pass is known.
    private struct Done: Error {}

    /// Runs a batch up to the site.
    func add(_ decoder: Decoder, _ layer: Int, _ hidden: Tensor, _ float: FloatStream, batch: Int) throws {
        half = batch % 2
        floatInput = float.sites[site]?[batch]
        floatStream = stream.flatMap { float.sites[$0]?[batch] }
        // The stream behind the addition.
        let sum = stream.flatMap {
            $0 == .attentionResidual ? float.hidden[batch] : float.sites[.attentionResidual]?[batch]
        }
        rowFactor = try sum.map { try Self.flat($0).square().mean([1], keepDim: true).clamp(1e-12, nil).rsqrt() }
        do {
            _ = try withNoGrad { try decoder.blockForward(layer, hidden, visitor: self) }
        } catch is Done {}
    }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let rounded = try inner.visit(key, x)
        if correctsStream, key.site == stream, let floatStream { streamError = try scaled(floatStream - rounded) }
        guard key.site == site, let floatInput else { return rounded }
        let own = try scaled(rounded)
        let transposed = try own.transpose()
        let new = Sums(
            own: try transposed.matmul(own).to(.float64),
            cross: try transposed.matmul(scaled(floatInput)).to(.float64),
            lacking: try streamError.map { try transposed.matmul($0).to(.float64) })
        halves[half] = try halves[half]?.adding(new) ?? new
        throw Done()
    }

    /// A row for each position, with its factor.
    private func scaled(_ x: Tensor) throws -> Tensor {
        let rows = try Self.flat(x)
        return try rowFactor.map { try rows * $0 } ?? rows
    }

    private static func flat(_ x: Tensor) throws(DyadError) -> Tensor { try x.reshape([-1, x.size(-1)]) }

    private var total: Sums? {
        get throws {
            guard let first = halves[0] else { return nil }
            return try halves[1].map { try first.adding($0) } ?? first
        }
    }

    /// Σ x̂·x̂ᵀ, float64 `[inputs, inputs]`; nil before any text.
    var own: Tensor? { get throws { try total?.own } }

    /// How strongly the target may be drawn towards the float weight, in shares of the inputs' mean second moment.
    private static let dampings = [0.001, 0.01, 0.1, 1, 10]

    /// The weight `[outputs, inputs]` that comes nearest on x̂ to what `weight` gives on x, and to the stream's lack: ridge
    /// regression around `weight`, as free as half of the text lets predict the other half best.
    func target(_ weight: Tensor) throws -> Tensor {
        let wide = try weight.to(.float64)
        guard let first = halves[0], let second = halves[1], let total = try total else { return weight }
        // Inputs that are always zero say nothing.
        for sums in [first, second] { guard try sums.own.diagonal().sum().item() > 0 else { return weight } }
        var best = (error: try second.error(wide.transpose(), wide), damping: Double.infinity)
        for damping in Self.dampings {
            let error = try second.error(first.solution(wide, damping: damping), wide)
            if error < best.error { best = (error, damping) }
        }
        guard best.damping.isFinite else { return weight }
        return try total.solution(wide, damping: best.damping).transpose().to(weight.dtype).contiguous()
    }
}
