// Threads and vector registers for the shim's own passes.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace dyad {

/// Calls `body(begin, end)` for pieces of 0 ..< count, on as many threads as libtorch uses, each with at least `grain`
/// items; rethrows what a piece threw. at::parallel_for is a template over OpenMP pragmas, sequential unless this
/// code were compiled for the very OpenMP library that libtorch carries. Starting a thread costs some 20 µs, so a
/// piece should be worth more.
template <class Body> void parallelFor(int64_t count, int64_t grain, const Body &body) {
    const int64_t pieces = std::min<int64_t>(at::get_num_threads(), count / std::max<int64_t>(1, grain));
    if (pieces <= 1) {
        body(int64_t(0), count);
        return;
    }
    std::vector<std::exception_ptr> errors(pieces);
    auto run = [&](int64_t piece) {
        try {
            body(count * piece / pieces, count * (piece + 1) / pieces);
        } catch (...) {
            errors[piece] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(pieces - 1);
    int64_t started = 1;
    try {
        for (; started < pieces; ++started) threads.emplace_back(run, started);
    } catch (const std::system_error &) {
        // No more threads: this one does the rest.
    }
    run(0);
    for (int64_t piece = started; piece < pieces; ++piece) run(piece);
    for (std::thread &thread : threads) thread.join();
    for (const std::exception_ptr &error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

#if defined(__x86_64__)
template <class Body> [[gnu::target("avx2")]] void withAVX2(const Body &body) {
    body();
}
#endif

/// For a lambda given to `vectorized`: only code inlined there is compiled for the wider registers.
#define DYAD_INLINED __attribute__((always_inline))

/// Runs a loop compiled twice: for the baseline and, where the CPU has it, for AVX2. (Without FMA, so that both
/// round alike.)
template <class Body> void vectorized(const Body &body) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return withAVX2(body);
#endif
    body();
}

}  // namespace dyad
