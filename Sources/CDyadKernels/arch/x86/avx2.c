// AVX2: Haswell, Zen and later. No instruction multiplies unsigned with signed bytes exactly, so a byte of either becomes
// 16 bits wide first.
//
// vpmaddwd multiplies pairs of 16-bit integers into a 32-bit lane. Of a group of four inputs, the even ones (0 and 2) make
// one such pair and the odd ones (1 and 3) another: a register of weights splits into both by shifts, without crossing
// lanes. 16 channels are two registers of sums; four rows of them leave room for the weights and the activations.
#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,bmi2,lzcnt"))), apply_to = function)

#include "../../rows.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
  REGISTER_ROWS = 4,
  CHUNK_GROUPS = 256,  // of four inputs: the activations that are split at once, on the stack
};

ALWAYS_INLINE __m256i load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
ALWAYS_INLINE void save(void *to, __m256i value) { _mm256_storeu_si256((__m256i *)to, value); }

ALWAYS_INLINE __m256i broadcast_group(const void *x) {
  int32_t group;
  memcpy(&group, x, sizeof group);
  return _mm256_set1_epi32(group);
}

// One row reads weights as fast as memory gives them, and the processor's own prefetching ends at every page.
ALWAYS_INLINE void prefetch(const int rows, const int8_t *weights) {
  if (rows == 1) _mm_prefetch((const char *)weights + 4096, _MM_HINT_T0);
}

// Bytes x0 x1 x2 x3 of every group to 16-bit integers x0 x2 x1 x3. Reads up to 12 bytes past the last group, and writes
// whole fours of groups.
ALWAYS_INLINE void split_groups(const uint8_t *x, size_t groups, int16_t *out) {
  const __m256i order = _mm256_setr_epi8(0, -1, 2, -1, 1, -1, 3, -1, 4, -1, 6, -1, 5, -1, 7, -1,  //
                                         8, -1, 10, -1, 9, -1, 11, -1, 12, -1, 14, -1, 13, -1, 15, -1);
  for (size_t g = 0; g < groups; g += 4) {
    const __m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(x + g * 4)));
    save(out + g * 4, _mm256_shuffle_epi8(bytes, order));
  }
}

// sums[r * line + c] += sum over the groups of 16 channels. `rows` is a constant at every place of use, so loops over rows
// unroll and their sums live in registers.
ALWAYS_INLINE void tile_8(const int16_t x[][CHUNK_GROUPS * 4], const int rows, const int8_t *panel, size_t groups,
                          size_t line, int32_t *out) {
  __m256i sums[REGISTER_ROWS][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
    for (int half = 0; half < 2; half++) sums[r][half] = load(out + (size_t)r * line + half * 8);
  for (size_t g = 0; g < groups; g++) {
    __m256i even[2], odd[2];
    prefetch(rows, panel + g * 64);
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
      const __m256i w = load(panel + g * 64 + half * 32);
      even[half] = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
      odd[half] = _mm256_srai_epi16(w, 8);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const __m256i evens = broadcast_group(&x[r][g * 4]), odds = broadcast_group(&x[r][g * 4 + 2]);
#pragma clang loop unroll(full)
      for (int half = 0; half < 2; half++) {
        const __m256i products =
            _mm256_add_epi32(_mm256_madd_epi16(evens, even[half]), _mm256_madd_epi16(odds, odd[half]));
        sums[r][half] = _mm256_add_epi32(sums[r][half], products);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
    for (int half = 0; half < 2; half++) save(out + (size_t)r * line + half * 8, sums[r][half]);
}

static void product_8(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t panel,
                      size_t blocks, int32_t *sums) {
  int16_t x[REGISTER_ROWS][CHUNK_GROUPS * 4];
  const size_t line = blocks * DYAD_BLOCK;
  memset(sums, 0, rows * line * sizeof(int32_t));
  for (size_t start = 0; start < groups; start += CHUNK_GROUPS) {
    const size_t count = groups - start < CHUNK_GROUPS ? groups - start : CHUNK_GROUPS;
    for (size_t row = 0; row < rows; row += REGISTER_ROWS) {
      const size_t tile = rows - row < REGISTER_ROWS ? rows - row : REGISTER_ROWS;
      for (size_t r = 0; r < tile; r++) split_groups(a + (row + r) * stride + start * 4, count, x[r]);
      for (size_t block = 0; block < blocks; block++) {
        const int8_t *w = panels + block * panel + start * 64;
        int32_t *out = sums + row * line + block * DYAD_BLOCK;
        switch (tile) {
          case 1: tile_8(x, 1, w, count, line, out); break;
          case 2: tile_8(x, 2, w, count, line, out); break;
          case 3: tile_8(x, 3, w, count, line, out); break;
          default: tile_8(x, 4, w, count, line, out);
        }
      }
    }
  }
}

// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits: with weights from -8 to 7 at least
// -4080, so that eight of them, four groups of eight inputs, fit before they are widened.
ALWAYS_INLINE void tile_4(const uint8_t *a, size_t stride, const int rows, const int8_t *panel, size_t groups,
                          size_t line, int32_t *out) {
  const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const __m256i value = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1,  //
                                         0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  for (int r = 0; r < rows; r++) memset(out + (size_t)r * line, 0, DYAD_BLOCK * sizeof(int32_t));
  for (size_t start = 0; start < groups; start += 4) {
    const size_t end = groups - start < 4 ? groups : start + 4;
    __m256i sums[REGISTER_ROWS][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
    for (size_t g = start; g < end; g++) {
      __m256i low[2], high[2];
      prefetch(rows, panel + g * 64);
#pragma clang loop unroll(full)
      for (int half = 0; half < 2; half++) {
        const __m256i w = load(panel + g * 64 + half * 32);
        low[half] = _mm256_shuffle_epi8(value, _mm256_and_si256(w, nibble));
        high[half] = _mm256_shuffle_epi8(value, _mm256_and_si256(_mm256_srli_epi16(w, 4), nibble));
      }
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        const __m256i x = broadcast_group(a + (size_t)r * stride + g * 8);
        const __m256i next = broadcast_group(a + (size_t)r * stride + g * 8 + 4);
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
          const __m256i products =
              _mm256_add_epi16(_mm256_maddubs_epi16(x, low[half]), _mm256_maddubs_epi16(next, high[half]));
          sums[r][half] = _mm256_add_epi16(sums[r][half], products);
        }
      }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
      for (int half = 0; half < 2; half++) {
        int32_t *place = out + (size_t)r * line + half * 8;
        save(place, _mm256_add_epi32(load(place), _mm256_madd_epi16(sums[r][half], ones)));
      }
  }
}

static void product_4(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t blocks,
                      int32_t *sums) {
  const size_t line = blocks * DYAD_BLOCK;
  for (size_t row = 0; row < rows; row += REGISTER_ROWS) {
    const uint8_t *x = a + row * stride;
    for (size_t block = 0; block < blocks; block++) {
      const int8_t *w = panels + block * groups * 64;
      int32_t *out = sums + row * line + block * DYAD_BLOCK;
      switch (rows - row) {
        case 1: tile_4(x, stride, 1, w, groups, line, out); break;
        case 2: tile_4(x, stride, 2, w, groups, line, out); break;
        case 3: tile_4(x, stride, 3, w, groups, line, out); break;
        default: tile_4(x, stride, 4, w, groups, line, out);
      }
    }
  }
}

static inline void sylvester(int32_t *values, size_t count, size_t power) {
  size_t length = 1;
  if (power >= 8) {
    // Stages inside a vector: lane i becomes partner - self where bit `length` of i is set, else self + partner.
    for (size_t i = 0; i < count; i += 8) {
      __m256i x = load(values + i), partner = _mm256_shuffle_epi32(x, 0xB1);
      x = _mm256_blend_epi32(_mm256_add_epi32(x, partner), _mm256_sub_epi32(partner, x), 0xAA);
      partner = _mm256_shuffle_epi32(x, 0x4E);
      x = _mm256_blend_epi32(_mm256_add_epi32(x, partner), _mm256_sub_epi32(partner, x), 0xCC);
      partner = _mm256_permute4x64_epi64(x, 0x4E);
      x = _mm256_blend_epi32(_mm256_add_epi32(x, partner), _mm256_sub_epi32(partner, x), 0xF0);
      save(values + i, x);
    }
    length = 8;
  }
  for (; length < power; length *= 2) {
    for (size_t start = 0; start < count; start += 2 * length) {
      int32_t *restrict lower = values + start, *restrict upper = values + start + length;
      for (size_t i = 0; i < length; i++) {
        const int32_t a = lower[i], b = upper[i];
        lower[i] = a + b;
        upper[i] = a - b;
      }
    }
  }
}

// Eight integers to those at even and at odd places.
ALWAYS_INLINE void split_lanes(const int64_t *from, __m256i out[2]) {
  const __m256i first = load(from), second = load(from + 4);
  out[0] = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(first, second), 0xD8);
  out[1] = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(first, second), 0xD8);
}

// zero + (value >> shift), clamped to the bounds {low, high}. There is no arithmetic shift of 64 bits: without the sign,
// value + 2^63 is shifted, and 2^63 >> shift taken off again (with zero, in `base`).
ALWAYS_INLINE __m256i shifted(__m256i value, __m256i shift, __m256i base, __m256i low, __m256i high) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  value = _mm256_add_epi64(_mm256_srlv_epi64(_mm256_xor_si256(value, sign), shift), base);
  value = _mm256_blendv_epi8(value, low, _mm256_cmpgt_epi64(low, value));
  return _mm256_blendv_epi8(value, high, _mm256_cmpgt_epi64(value, high));
}

// Sums to outputs, eight channels at a time with their parameters in registers, even and odd channels apart as vpmuldq
// takes them; a result takes the place of its sum.
// (sum + offset) * m + half = sum * m + (offset * m + half), where sum * m is a product of 32-bit integers.
ALWAYS_INLINE void finish_as(const dyad_linear *linear, int32_t *sums, const int planes, size_t tokens, size_t line,
                             size_t channel, size_t channels, size_t row, void *y) {
  const int64_t zero = linear->output.zero;
  const __m256i low = _mm256_set1_epi64x(lowest(linear->output.type));
  const __m256i high = _mm256_set1_epi64x(highest(linear->output.type));
  for (size_t c = 0; c < channels; c += 8) {
    __m256i multiplier[2], shift[2], constant[2], base[2];
    int64_t constants[8], bases[8];
    for (size_t i = 0; i < 8; i++) {
      const int64_t s = linear->shifts[channel + c + i], half = (int64_t)1 << (s - 1);
      constants[i] = linear->offsets[channel + c + i] * linear->multipliers[channel + c + i] + half;
      bases[i] = zero - ((int64_t)1 << (63 - s));
    }
    split_lanes(linear->multipliers + channel + c, multiplier);
    split_lanes(linear->shifts + channel + c, shift);
    split_lanes(constants, constant);
    split_lanes(bases, base);
    for (size_t t = 0; t < tokens; t++) {
      int32_t *from = sums + t * (size_t)planes * line + c;
      __m256i result[2];
#pragma clang loop unroll(full)
      for (int odd = 0; odd < 2; odd++) {
        const __m256i sum = odd ? _mm256_srli_epi64(load(from), 32) : load(from);
        __m256i value = _mm256_mul_epi32(sum, multiplier[odd]);
        if (planes == 2) {
          const __m256i upper = odd ? _mm256_srli_epi64(load(from + line), 32) : load(from + line);
          value = _mm256_add_epi64(value, _mm256_slli_epi64(_mm256_mul_epi32(upper, multiplier[odd]), 8));
        }
        result[odd] = shifted(_mm256_add_epi64(value, constant[odd]), shift[odd], base[odd], low, high);
      }
      save(from, _mm256_blend_epi32(result[0], _mm256_slli_epi64(result[1], 32), 0xAA));
    }
  }
  for (size_t t = 0; t < tokens; t++)
    store(linear->output.type, sums + t * (size_t)planes * line, channels, y, (row + t) * linear->outputs + channel);
}

static inline void finish_tile(const dyad_linear *linear, int32_t *sums, size_t planes, size_t tokens, size_t line,
                               size_t channel, size_t channels, size_t row, void *y) {
  if (planes == 2) {
    finish_as(linear, sums, 2, tokens, line, channel, channels, row, y);
  } else {
    finish_as(linear, sums, 1, tokens, line, channel, channels, row, y);
  }
}

#define DYAD_TILE_ROWS (2 * REGISTER_ROWS)
#define DYAD_FINISH_TILE
#define DYAD_ATTENTION_KERNEL
#include "../../table.h"

#pragma clang attribute pop

DYAD_KERNEL_TABLE(avx2);

#endif
