// AVX-512 with byte dot products (VNNI): Ice Lake, Zen 4 and later.
//
// vpdpbusd multiplies four unsigned bytes (activations, broadcast) with four signed bytes (weights) per 32-bit lane and
// adds without saturation. A tile of 6 rows times 64 channels keeps 24 sums in registers: 24 products for 10 loads.
#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,bmi2,lzcnt"))), \
                             apply_to = function)

#include "../../rows.h"

static inline __attribute__((always_inline)) __m512i broadcast_group(const uint8_t *x) {
  int32_t group;
  memcpy(&group, x, sizeof group);
  return _mm512_set1_epi32(group);
}

// `rows` and `blocks` are constants at every place of use, so both loops unroll and `sums` lives in registers.
static inline __attribute__((always_inline)) void tile_8(const uint8_t *a, size_t stride, const int rows,
                                                         const int8_t *panels, size_t groups, size_t panel,
                                                         const int blocks, int32_t *out) {
  __m512i sums[6][4];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) sums[r][b] = _mm512_setzero_si512();
  for (size_t g = 0; g < groups; g++) {
    __m512i w[4];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) w[b] = _mm512_loadu_si512(panels + (size_t)b * panel + g * 64);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const __m512i x = broadcast_group(a + (size_t)r * stride + g * 4);
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++) sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], x, w[b]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) _mm512_storeu_si512(out + (r * blocks + b) * 16, sums[r][b]);
}

// Nibbles stand in the upper half of a byte as 16 times their value; the factor is shifted out at the end.
static inline __attribute__((always_inline)) void tile_4(const uint8_t *a, size_t stride, const int rows,
                                                         const int8_t *panels, size_t groups, const int blocks,
                                                         int32_t *out) {
  const __m512i upper = _mm512_set1_epi8((char)0xF0);
  __m512i sums[6][4];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) sums[r][b] = _mm512_setzero_si512();
  for (size_t g = 0; g < groups; g++) {
    __m512i low[4], high[4];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      const __m512i w = _mm512_loadu_si512(panels + ((size_t)b * groups + g) * 64);
      low[b] = _mm512_and_si512(_mm512_slli_epi16(w, 4), upper);
      high[b] = _mm512_and_si512(w, upper);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const __m512i x = broadcast_group(a + (size_t)r * stride + g * 8);
      const __m512i next = broadcast_group(a + (size_t)r * stride + g * 8 + 4);
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++) {
        sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], x, low[b]);
        sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], next, high[b]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++)
      _mm512_storeu_si512(out + (r * blocks + b) * 16, _mm512_srai_epi32(sums[r][b], 4));
}

#define FOR_EACH_ROW_COUNT(CASE, blocks) \
  CASE(1, blocks) CASE(2, blocks) CASE(3, blocks) CASE(4, blocks) CASE(5, blocks) CASE(6, blocks)
#define FOR_EACH_TILE(CASE) \
  FOR_EACH_ROW_COUNT(CASE, 1) FOR_EACH_ROW_COUNT(CASE, 2) FOR_EACH_ROW_COUNT(CASE, 3) FOR_EACH_ROW_COUNT(CASE, 4)

static void product_8(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t panel,
                      size_t blocks, int32_t *sums) {
#define CASE(r, b) \
  case (b) * 8 + (r): tile_8(a, stride, r, panels, groups, panel, b, sums); break;
  switch (blocks * 8 + rows) { FOR_EACH_TILE(CASE) }
#undef CASE
}

// The factor 16 takes 4 bits of the sum: 65536 inputs of up to 255 * 7 * 16 still stay below 2^31.
static void product_4(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t blocks,
                      int32_t *sums) {
#define CASE(r, b) \
  case (b) * 8 + (r): tile_4(a, stride, r, panels, groups, b, sums); break;
  switch (blocks * 8 + rows) { FOR_EACH_TILE(CASE) }
#undef CASE
}

// Stages inside a vector: lane i becomes partner - self where bit `length` of i is set, else self + partner.
static inline __attribute__((always_inline)) __m512i butterfly(__m512i x, __m512i partner, __mmask16 upper) {
  return _mm512_mask_sub_epi32(_mm512_add_epi32(x, partner), upper, partner, x);
}

static inline void sylvester(int32_t *values, size_t count, size_t power) {
  size_t length = 1;
  if (power >= 16) {
    for (size_t i = 0; i < count; i += 16) {
      __m512i x = _mm512_loadu_si512(values + i);
      x = butterfly(x, _mm512_shuffle_epi32(x, 0xB1), 0xAAAA);
      x = butterfly(x, _mm512_shuffle_epi32(x, 0x4E), 0xCCCC);
      x = butterfly(x, _mm512_shuffle_i32x4(x, x, 0xB1), 0xF0F0);
      x = butterfly(x, _mm512_shuffle_i32x4(x, x, 0x4E), 0xFF00);
      _mm512_storeu_si512(values + i, x);
    }
    length = 16;
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

// Sums to outputs, eight channels at a time with their parameters in registers:
// (sum + offset) * m + half = sum * m + (offset * m + half), where sum * m is a product of 32-bit integers.
static inline __attribute__((always_inline)) void finish_as(const dyad_linear *linear, const int32_t *sums,
                                                            const int planes, size_t tokens, size_t line, size_t channel,
                                                            size_t channels, size_t row, char *y, const int type) {
  const __m512i zero = _mm512_set1_epi64(linear->output.zero), low = _mm512_set1_epi64(lowest(type));
  const size_t bytes = element_bytes(type);
  for (size_t c = 0; c < channels; c += 8) {
    const __mmask8 mask = channels - c >= 8 ? 0xFF : (__mmask8)((1 << (channels - c)) - 1);
    const __m512i multiplier = _mm512_loadu_si512(linear->multipliers + channel + c);
    const __m512i shift = _mm512_loadu_si512(linear->shifts + channel + c);
    const __m512i offset = _mm512_loadu_si512(linear->offsets + channel + c);
    const __m512i one = _mm512_set1_epi64(1);
    const __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
    const __m512i constant = _mm512_add_epi64(_mm512_mullo_epi64(offset, multiplier), half);
    for (size_t t = 0; t < tokens; t++) {
      const int32_t *from = sums + t * (size_t)planes * line + c;
      const __m512i sum = _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)from));
      __m512i value = _mm512_mul_epi32(sum, multiplier);
      if (planes == 2) {
        const __m512i high = _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)(from + line)));
        value = _mm512_add_epi64(value, _mm512_slli_epi64(_mm512_mul_epi32(high, multiplier), 8));
      }
      value = _mm512_add_epi64(_mm512_srav_epi64(_mm512_add_epi64(value, constant), shift), zero);
      char *to = y + ((row + t) * linear->outputs + channel + c) * bytes;
      // The narrowing stores saturate; the unsigned ones only above.
      if (type == DYAD_U8) {
        _mm512_mask_cvtusepi64_storeu_epi8(to, mask, _mm512_max_epi64(value, low));
      } else if (type == DYAD_U16) {
        _mm512_mask_cvtusepi64_storeu_epi16(to, mask, _mm512_max_epi64(value, low));
      } else if (type == DYAD_I8) {
        _mm512_mask_cvtsepi64_storeu_epi8(to, mask, value);
      } else if (type == DYAD_I16) {
        _mm512_mask_cvtsepi64_storeu_epi16(to, mask, value);
      } else {
        _mm512_mask_cvtsepi64_storeu_epi32(to, mask, value);
      }
    }
  }
}

static inline void finish_tile(const dyad_linear *linear, const int32_t *sums, size_t planes, size_t tokens, size_t line,
                               size_t channel, size_t channels, size_t row, void *y) {
#define CASE(p, t) \
  case (t) * 2 + (p) - 1: finish_as(linear, sums, p, tokens, line, channel, channels, row, y, t); break;
  switch (linear->output.type * 2 + (int32_t)planes - 1) {
    CASE(1, DYAD_U8) CASE(2, DYAD_U8) CASE(1, DYAD_I8) CASE(2, DYAD_I8) CASE(1, DYAD_U16) CASE(2, DYAD_U16)
    CASE(1, DYAD_I16) CASE(2, DYAD_I16) CASE(1, DYAD_I32) CASE(2, DYAD_I32)
  }
#undef CASE
}

#define DYAD_FINISH_TILE
#define DYAD_ATTENTION_KERNEL
#include "../../table.h"

#pragma clang attribute pop

DYAD_KERNEL_TABLE(avx512vnni);

#endif
