// Fake quantisation with learnable steps, as one autograd operation.
//
//   v = x / s,  n = floor(v + 1/2),  q = clamp(n + z, qmin, qmax),  y = s · (q − z)
//
// Rounding is half towards +∞, as in the integer rescale. Gradients (Esser et al., "Learned Step Size Quantization",
// 2020, eq. 3; the zero point as in LSQ+, Bhalgat et al. 2020; the rounding passes its gradient straight through):
//
//   inside (qmin ≤ n + z ≤ qmax):  dy/dx = 1,  dy/ds = n − v,      dy/dz = 0
//   below:                         dy/dx = 0,  dy/ds = qmin − z,   dy/dz = −s
//   above:                         dy/dx = 0,  dy/ds = qmax − z,   dy/dz = −s
//
// On the CPU (float32, float64; 16-bit floats through float32) one pass reads x and writes y, and one pass reads
// x and dL/dy and writes dL/dx; sums run over blocks of a fixed size in float64, so they do not depend on the number
// of threads. Other devices use the same formulas composed of ATen operators.
#ifdef DYAD_WITH_TORCH

#include "Internal.h"
#include "Threads.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

namespace {

using namespace dyad;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Elements per block of a sum.
constexpr int64_t blockSize = 32768;
/// Elements that are worth a thread.
constexpr int64_t grain = 131072;
/// Independent partial sums, so that the compiler can use vector registers.
constexpr int lanes = 16;

/// The tensor seen as [outer, channels, inner], one step per channel.
struct Layout {
    int64_t outer = 1, channels = 1, inner = 1;

    Layout(const at::Tensor &x, int64_t axis) {
        if (axis < 0 || x.size(axis) == 1) {
            inner = x.numel();
            return;
        }
        channels = x.size(axis);
        for (int64_t dim = 0; dim < axis; ++dim) outer *= x.size(dim);
        for (int64_t dim = axis + 1; dim < x.dim(); ++dim) inner *= x.size(dim);
    }
    /// Whether neighbouring elements have different steps.
    bool interleaved() const { return channels > 1 && inner == 1; }
};

/// The quantiser's steps on the CPU: scale, and the clamping bounds of n.
template <class T> struct Steps {
    std::vector<T> scale, low, high;

    Steps(const at::Tensor &scales, const at::Tensor &zeros, int64_t minimum, int64_t maximum) {
        at::Tensor s = scales.to(at::kDouble).contiguous(), z = zeros.defined() ? zeros.to(at::kDouble).contiguous() : s;
        for (int64_t channel = 0; channel < s.numel(); ++channel) {
            const double zero = zeros.defined() ? z.const_data_ptr<double>()[channel] : 0;
            const double step = s.const_data_ptr<double>()[channel];
            TORCH_CHECK(
                step > 0 && std::isfinite(step) && static_cast<T>(step) > 0, "fakeQuantize: scale ", step, " of channel ",
                channel, " is not a positive finite number");
            TORCH_CHECK(
                std::abs(zero) <= 16777216.0, "fakeQuantize: zero point ", zero, " of channel ", channel,
                " is outside ±2^24");
            scale.push_back(static_cast<T>(step));
            low.push_back(static_cast<T>(minimum - zero));
            high.push_back(static_cast<T>(maximum - zero));
        }
    }
};

template <class T> struct Rounded {
    T limited;  // v, limited to one step beyond the bounds
    T nearest;  // floor(limited + 1/2), exact
};

/// Branch-free; a NaN counts as below. The bounds are within ±2²⁶, so the conversion to an integer is defined.
template <class T> DYAD_INLINED inline Rounded<T> roundHalfUp(T v, T low, T high) {
    T limited = v > low - 1 ? v : low - 1;
    limited = limited < high + 1 ? limited : high + 1;
    T whole = static_cast<T>(static_cast<int32_t>(limited));
    whole = whole > limited ? whole - 1 : whole;
    return {limited, limited - whole >= T(0.5) ? whole + 1 : whole};
}

template <class T> DYAD_INLINED inline T quantized(T x, T scale, T low, T high) {
    T v = x / scale;
    T nearest = roundHalfUp(v, low, high).nearest;
    nearest = nearest < low ? low : nearest;
    nearest = nearest > high ? high : nearest;
    return v == v ? nearest * scale : v;
}

template <class T> void forwardPass(const T *x, T *y, const Layout &layout, const Steps<T> &steps) {
    if (layout.interleaved()) {
        const int64_t width = layout.channels;
        parallelFor(layout.outer, grain / width, [&](int64_t begin, int64_t end) {
            const T *scale = steps.scale.data(), *low = steps.low.data(), *high = steps.high.data();
            for (int64_t row = begin; row < end; ++row) {
                const T *from = x + row * width;
                T *to = y + row * width;
                vectorized([=]() DYAD_INLINED {
                    for (int64_t c = 0; c < width; ++c) to[c] = quantized(from[c], scale[c], low[c], high[c]);
                });
            }
        });
        return;
    }
    const int64_t segments = layout.outer * layout.channels;
    const int64_t blocks = (layout.inner + blockSize - 1) / blockSize;
    parallelFor(
        segments * blocks, grain / std::clamp<int64_t>(layout.inner, 1, blockSize), [&](int64_t begin, int64_t end) {
            for (int64_t part = begin; part < end; ++part) {
                const int64_t segment = part / blocks, channel = segment % layout.channels;
                const int64_t first = (part % blocks) * blockSize;
                const int64_t count = std::min(blockSize, layout.inner - first);
                const T *from = x + segment * layout.inner + first;
                T *to = y + segment * layout.inner + first;
                const T scale = steps.scale[channel], low = steps.low[channel], high = steps.high[channel];
                vectorized([=]() DYAD_INLINED {
                    for (int64_t i = 0; i < count; ++i) to[i] = quantized(from[i], scale, low, high);
                });
            }
        });
}

/// What one element contributes, given g = dL/dy.
template <class T> struct Contribution {
    T x;        // to dL/dx
    T scale;    // to dL/ds
    T outside;  // g where clamped: dL/dz = −s · Σ outside
};

template <class T> DYAD_INLINED inline Contribution<T> contribution(T x, T g, T scale, T low, T high) {
    Rounded<T> r = roundHalfUp(x / scale, low, high);
    bool below = r.nearest < low, above = r.nearest > high;
    T slope = r.nearest - r.limited;
    slope = below ? low : slope;
    slope = above ? high : slope;
    T inside = (below | above) ? T(0) : g;
    return {inside, g * slope, g - inside};
}

/// Sums over one run of elements with one step. Short stretches are summed in T, those in float64.
template <class T>
DYAD_INLINED inline void backwardRun(
    const T *x, const T *g, T *dx, int64_t count, T scale, T low, T high, double &sumScale, double &sumOutside) {
    constexpr int64_t stretch = 64 * lanes;
    for (int64_t start = 0; start < count; start += stretch) {
        const int64_t size = std::min(stretch, count - start);
        T bySlope[lanes] = {}, byOutside[lanes] = {};
        int64_t i = start;
        for (; i + lanes <= start + size; i += lanes) {
            for (int lane = 0; lane < lanes; ++lane) {
                Contribution<T> part = contribution(x[i + lane], g[i + lane], scale, low, high);
                dx[i + lane] = part.x;
                bySlope[lane] += part.scale;
                byOutside[lane] += part.outside;
            }
        }
        for (; i < start + size; ++i) {
            Contribution<T> part = contribution(x[i], g[i], scale, low, high);
            dx[i] = part.x;
            bySlope[0] += part.scale;
            byOutside[0] += part.outside;
        }
        for (int lane = 0; lane < lanes; ++lane) {
            sumScale += bySlope[lane];
            sumOutside += byOutside[lane];
        }
    }
}

/// Adds up per-channel sums in a fixed order into the first `channels` entries of the results.
template <class T>
void backwardPass(
    const T *x, const T *g, T *dx, const Layout &layout, const Steps<T> &steps, double *sumScale, double *sumOutside) {
    if (layout.interleaved()) {
        const int64_t width = layout.channels, rows = layout.outer;
        const int64_t rowsPerBlock = std::max<int64_t>(64, (rows + 63) / 64);
        const int64_t blocks = (rows + rowsPerBlock - 1) / rowsPerBlock;
        std::vector<double> slopes(blocks * width), outsides(blocks * width);
        parallelFor(blocks, grain / (rowsPerBlock * width), [&](int64_t begin, int64_t end) {
            const T *scale = steps.scale.data(), *low = steps.low.data(), *high = steps.high.data();
            std::vector<T> bySlope(width), byOutside(width);
            for (int64_t block = begin; block < end; ++block) {
                const int64_t last = std::min(rows, (block + 1) * rowsPerBlock);
                for (int64_t start = block * rowsPerBlock; start < last; start += 64) {
                    std::fill(bySlope.begin(), bySlope.end(), T(0));
                    std::fill(byOutside.begin(), byOutside.end(), T(0));
                    T *slope = bySlope.data(), *outside = byOutside.data();
                    for (int64_t row = start; row < std::min(last, start + 64); ++row) {
                        const T *values = x + row * width, *gradients = g + row * width;
                        T *to = dx + row * width;
                        vectorized([=]() DYAD_INLINED {
                            for (int64_t c = 0; c < width; ++c) {
                                Contribution<T> part = contribution(values[c], gradients[c], scale[c], low[c], high[c]);
                                to[c] = part.x;
                                slope[c] += part.scale;
                                outside[c] += part.outside;
                            }
                        });
                    }
                    for (int64_t c = 0; c < width; ++c) {
                        slopes[block * width + c] += slope[c];
                        outsides[block * width + c] += outside[c];
                    }
                }
            }
        });
        for (int64_t i = 0; i < blocks * width; ++i) {
            sumScale[i % width] += slopes[i];
            sumOutside[i % width] += outsides[i];
        }
        return;
    }
    const int64_t segments = layout.outer * layout.channels;
    const int64_t blocks = (layout.inner + blockSize - 1) / blockSize;
    std::vector<double> slopes(segments * blocks), outsides(segments * blocks);
    parallelFor(
        segments * blocks, grain / std::clamp<int64_t>(layout.inner, 1, blockSize), [&](int64_t begin, int64_t end) {
            for (int64_t part = begin; part < end; ++part) {
                const int64_t segment = part / blocks, channel = segment % layout.channels;
                const int64_t first = (part % blocks) * blockSize, offset = segment * layout.inner + first;
                vectorized([&]() DYAD_INLINED {
                    backwardRun(
                        x + offset, g + offset, dx + offset, std::min(blockSize, layout.inner - first),
                        steps.scale[channel], steps.low[channel], steps.high[channel], slopes[part], outsides[part]);
                });
            }
        });
    for (int64_t part = 0; part < segments * blocks; ++part) {
        const int64_t channel = part / blocks % layout.channels;
        sumScale[channel] += slopes[part];
        sumOutside[channel] += outsides[part];
    }
}

struct Gradients {
    at::Tensor x, scale, zero;
};

template <class T>
Gradients backwardOnCPU(
    const at::Tensor &x, const at::Tensor &g, const at::Tensor &scale, const at::Tensor &zero, int64_t minimum,
    int64_t maximum, int64_t axis, double factor) {
    Layout layout(x, axis);
    Steps<T> steps(scale, zero, minimum, maximum);
    at::Tensor dx = x.new_empty(x.sizes());
    auto options = x.options().dtype(at::kDouble);
    at::Tensor slopes = scale.new_zeros(scale.sizes(), options), outsides = scale.new_zeros(scale.sizes(), options);
    backwardPass(
        x.const_data_ptr<T>(), g.const_data_ptr<T>(), dx.mutable_data_ptr<T>(), layout, steps,
        slopes.mutable_data_ptr<double>(), outsides.mutable_data_ptr<double>());
    return {dx, slopes.mul(factor), outsides.mul(scale.to(at::kDouble)).mul(-factor)};
}

/// The steps in the shape that broadcasts against x.
at::Tensor broadcast(const at::Tensor &steps, const at::Tensor &x, int64_t axis) {
    std::vector<int64_t> shape(x.dim(), 1);
    if (axis >= 0) shape[axis] = steps.numel();
    return steps.to(x.options()).reshape(shape);
}

/// The composed form's v, n and clamping bounds.
struct Composed {
    at::Tensor scale, low, high, v, n;

    Composed(
        const at::Tensor &x, const at::Tensor &steps, const at::Tensor &zeros, int64_t minimum, int64_t maximum,
        int64_t axis) {
        scale = broadcast(steps, x, axis);
        at::Tensor zero = zeros.defined() ? broadcast(zeros, x, axis) : scale.new_zeros(scale.sizes());
        low = zero.neg().add(static_cast<double>(minimum));
        high = zero.neg().add(static_cast<double>(maximum));
        v = x.div(scale);
        n = v.floor();
        n = n.add(v.sub(n).ge(0.5).to(x.scalar_type()));
    }
};

Gradients backwardComposed(
    const at::Tensor &x, const at::Tensor &g, const at::Tensor &scale, const at::Tensor &zero, int64_t minimum,
    int64_t maximum, int64_t axis, double factor) {
    Composed parts(x, scale, zero, minimum, maximum, axis);
    at::Tensor below = parts.n.lt(parts.low), above = parts.n.gt(parts.high);
    at::Tensor outside = below.logical_or(above);
    at::Tensor dx = g.masked_fill(outside, 0);
    at::Tensor slope = parts.low.where(below, parts.high.where(above, parts.n.sub(parts.v)));
    auto reduced = [&](const at::Tensor &value) { return value.sum_to_size(parts.scale.sizes()).reshape(scale.sizes()); };
    return {dx, reduced(g.mul(slope)).mul(factor), reduced(g.sub(dx).mul(parts.scale)).mul(-factor)};
}

at::ScalarType computeType(const at::Tensor &x) {
    return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

struct FakeQuantize : torch::autograd::Function<FakeQuantize> {
    static at::Tensor forward(
        AutogradContext *context, const at::Tensor &x, const at::Tensor &scale, const std::optional<at::Tensor> &zeros,
        int64_t minimum, int64_t maximum, int64_t axis, double factor) {
        const at::Tensor zero = zeros.value_or(at::Tensor());
        context->save_for_backward({x, scale, zero});
        context->saved_data["minimum"] = minimum;
        context->saved_data["maximum"] = maximum;
        context->saved_data["axis"] = axis;
        context->saved_data["factor"] = factor;
        at::Tensor values = x.to(computeType(x)).contiguous();
        at::Tensor y;
        if (x.is_cpu()) {
            Layout layout(values, axis);
            y = values.new_empty(values.sizes());
            if (values.scalar_type() == at::kDouble) {
                forwardPass<double>(
                    values.const_data_ptr<double>(), y.mutable_data_ptr<double>(), layout,
                    Steps<double>(scale, zero, minimum, maximum));
            } else {
                forwardPass<float>(
                    values.const_data_ptr<float>(), y.mutable_data_ptr<float>(), layout,
                    Steps<float>(scale, zero, minimum, maximum));
            }
        } else {
            Composed parts(values, scale, zero, minimum, maximum, axis);
            y = parts.n.clamp(parts.low, parts.high).mul(parts.scale);
        }
        return y.to(x.scalar_type());
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        TORCH_CHECK(!at::GradMode::is_enabled(), "fakeQuantize has no second derivative");
        auto saved = context->get_saved_variables();
        const at::Tensor &x = saved[0], &scale = saved[1], &zero = saved[2];
        const int64_t minimum = context->saved_data["minimum"].toInt();
        const int64_t maximum = context->saved_data["maximum"].toInt();
        const int64_t axis = context->saved_data["axis"].toInt();
        const double factor = context->saved_data["factor"].toDouble();
        at::Tensor values = x.to(computeType(x)).contiguous();
        at::Tensor g = gradients[0].to(values.scalar_type()).contiguous();
        auto pass = !x.is_cpu()                            ? &backwardComposed
                    : values.scalar_type() == at::kDouble ? &backwardOnCPU<double>
                                                          : &backwardOnCPU<float>;
        Gradients result = pass(values, g, scale, zero, minimum, maximum, axis, factor);
        return {
            result.x.to(x.scalar_type()),
            result.scale.to(scale.scalar_type()),
            zero.defined() ? result.zero.to(zero.scalar_type()) : at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

void checkSteps(const char *name, const at::Tensor &steps, const at::Tensor &x, int64_t axis) {
    TORCH_CHECK(steps.is_floating_point(), "fakeQuantize: ", name, " is of type ", steps.scalar_type(), ", not a floating-point type");
    TORCH_CHECK(steps.device() == x.device(), "fakeQuantize: ", name, " is on ", steps.device(), ", x on ", x.device());
    if (axis < 0) {
        TORCH_CHECK(steps.numel() == 1, "fakeQuantize: ", name, " of shape ", steps.sizes(), " without an axis has not one element");
    } else {
        TORCH_CHECK(
            steps.dim() == 1 && steps.numel() == x.size(axis), "fakeQuantize: ", name, " of shape ", steps.sizes(),
            " does not fit axis ", axis, " of x of shape ", x.sizes());
    }
}

}  // namespace

int dyad_torch_fake_quantize(
    const DyadTorchTensor *x, const DyadTorchTensor *scale, const DyadTorchTensor *zeroPoint, int64_t minimum,
    int64_t maximum, int32_t axis, double gradientFactor, DyadTorchTensor **result, char **message) {
    return guarded(message, [&] {
        at::Tensor values = tensor(x), steps = tensor(scale), zeros = tensor(zeroPoint);
        TORCH_CHECK(values.is_floating_point(), "fakeQuantize: x is of type ", values.scalar_type(), ", not a floating-point type");
        TORCH_CHECK(
            minimum < maximum && minimum >= -16777216 && maximum <= 16777216, "fakeQuantize: the range ", minimum,
            " ... ", maximum, " is empty or beyond ±2^24");
        TORCH_CHECK(axis < values.dim(), "fakeQuantize: axis ", axis, " of x of shape ", values.sizes());
        checkSteps("scale", steps, values, axis);
        if (zeros.defined()) checkSteps("zeroPoint", zeros, values, axis);
        *result = handle(FakeQuantize::apply(
            values, steps, zeros.defined() ? std::optional(zeros) : std::nullopt, minimum, maximum,
            static_cast<int64_t>(axis), gradientFactor));
    });
}

#endif
