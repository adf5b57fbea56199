// What observers measure, each in one pass over the CPU's memory. Results do not depend on the number of threads.
#ifdef DYAD_WITH_TORCH

#include "Internal.h"
#include "Threads.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

namespace {

using namespace dyad;

/// Elements that are worth a thread.
constexpr int64_t grain = 131072;

/// Calls `body` with a pointer to the elements of a contiguous CPU tensor of a floating-point type.
template <class Body> void withElements(const at::Tensor &x, Body body) {
    at::Tensor values = x.contiguous();
    switch (values.scalar_type()) {
    case at::kFloat: return body(values.const_data_ptr<float>());
    case at::kDouble: return body(values.const_data_ptr<double>());
    case at::kBFloat16: return body(values.const_data_ptr<at::BFloat16>());
    case at::kHalf: return body(values.const_data_ptr<at::Half>());
    default: TORCH_CHECK(false, "statistics of type ", values.scalar_type(), ": not a floating-point type");
    }
}

template <class T> using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// Four tables in turn: neighbouring elements often fall into one bin, and one table would wait for its own stores.
template <class T>
void countBins(const T *x, int64_t count, int32_t bins, double low, double factor, int64_t *result) {
    std::mutex mutex;
    parallelFor(count, grain, [&](int64_t begin, int64_t end) {
        std::vector<int64_t> tables(4 * static_cast<size_t>(bins));
        const double last = bins - 1;
        for (int64_t i = begin; i < end; ++i) {
            const double value = static_cast<Wide<T>>(x[i]);
            double position = (value - low) * factor;
            position = position > 0 ? position : 0;
            position = position < last ? position : last;
            tables[(i & 3) * bins + static_cast<int32_t>(position)] += value == value;
        }
        std::lock_guard<std::mutex> lock(mutex);
        for (int32_t bin = 0; bin < bins; ++bin) {
            for (int table = 0; table < 4; ++table) result[bin] += tables[table * bins + bin];
        }
    });
}

struct Extrema {
    double minimum = std::numeric_limits<double>::infinity();
    double maximum = -std::numeric_limits<double>::infinity();
    bool nan = false;
};

template <class T> Extrema extremaOf(const T *x, int64_t count) {
    constexpr int lanes = 16;
    using W = Wide<T>;
    Extrema result;
    std::mutex mutex;
    parallelFor(count, grain, [&](int64_t begin, int64_t end) {
        W least[lanes], most[lanes], different[lanes] = {};
        std::fill(least, least + lanes, std::numeric_limits<W>::infinity());
        std::fill(most, most + lanes, -std::numeric_limits<W>::infinity());
        auto take = [&](int lane, W value) {
            least[lane] = value < least[lane] ? value : least[lane];
            most[lane] = value > most[lane] ? value : most[lane];
            different[lane] = value == value ? different[lane] : W(1);
        };
        int64_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            for (int lane = 0; lane < lanes; ++lane) take(lane, static_cast<W>(x[i + lane]));
        }
        for (; i < end; ++i) take(0, static_cast<W>(x[i]));
        std::lock_guard<std::mutex> lock(mutex);
        for (int lane = 0; lane < lanes; ++lane) {
            result.minimum = std::min<double>(result.minimum, least[lane]);
            result.maximum = std::max<double>(result.maximum, most[lane]);
            result.nan = result.nan || different[lane] != 0;
        }
    });
    return result;
}

}  // namespace

int dyad_torch_histogram(
    const DyadTorchTensor *x, int32_t bins, double low, double high, DyadTorchTensor **result, char **message) {
    return guarded(message, [&] {
        TORCH_CHECK(bins >= 1 && bins <= 1 << 24, "histogram: ", bins, " bins");
        const double factor = bins / (high - low);
        TORCH_CHECK(
            low < high && std::isfinite(low) && std::isfinite(high) && std::isfinite(factor), "histogram: the range ", low,
            " ... ", high, " is empty or not finite");
        at::Tensor values = tensor(x).detach();
        TORCH_CHECK(values.is_floating_point(), "histogram: type ", values.scalar_type(), " is not a floating-point type");
        if (values.is_cpu()) {
            at::Tensor counts = values.new_zeros({bins}, at::TensorOptions(at::kLong));
            int64_t *output = counts.mutable_data_ptr<int64_t>();
            withElements(values, [&](const auto *elements) {
                countBins(elements, values.numel(), bins, low, factor, output);
            });
            *result = handle(counts);
        } else {
            at::Tensor wide = values.to(values.is_mps() ? at::kFloat : at::kDouble);
            at::Tensor position = wide.sub(low).mul(factor).clamp(0, bins - 1);
            *result = handle(position.masked_select(wide.eq(wide)).to(at::kLong).bincount({}, bins));
        }
    });
}

int dyad_torch_extrema(const DyadTorchTensor *x, double *minimum, double *maximum, char **message) {
    return guarded(message, [&] {
        at::Tensor values = tensor(x).detach();
        TORCH_CHECK(values.numel() > 0, "extrema: the tensor is empty");
        TORCH_CHECK(values.is_floating_point(), "extrema: type ", values.scalar_type(), " is not a floating-point type");
        Extrema found;
        if (values.is_cpu()) {
            withElements(values, [&](const auto *elements) { found = extremaOf(elements, values.numel()); });
        } else {
            found.minimum = values.min().item().toDouble();
            found.maximum = values.max().item().toDouble();
            found.nan = std::isnan(found.minimum) || std::isnan(found.maximum);
        }
        const double none = std::numeric_limits<double>::quiet_NaN();
        *minimum = found.nan ? none : found.minimum;
        *maximum = found.nan ? none : found.maximum;
    });
}

#endif
