// The scalar functions of DyadGraph's FixedPoint, bit for bit. Private to the kernels.
#ifndef DYAD_FIXED_POINT_H
#define DYAD_FIXED_POINT_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 dyad_u128;

static inline int64_t dyad_rescaled(int64_t value, int64_t multiplier, int64_t shift) {
  return (value * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
}

static inline int64_t dyad_clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

static inline int dyad_bit_width(uint64_t value) { return value == 0 ? 0 : 64 - __builtin_clzll(value); }

static inline uint64_t dyad_square_root(uint64_t value) {
  if (value == 0) return 0;
  uint64_t remainder = value, root = 0;
  for (uint64_t bit = (uint64_t)1 << ((63 - __builtin_clzll(value)) & ~1); bit != 0; bit >>= 2) {
    if (remainder >= root + bit) {
      remainder -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  return root;
}

static inline dyad_u128 dyad_scaled_quotient(uint64_t numerator, int power, uint64_t denominator) {
  return power >= 0 ? ((dyad_u128)numerator << power) / denominator
                    : (dyad_u128)numerator / ((dyad_u128)denominator << -power);
}

// mantissa * 2^(-shift) = sqrt(numerator / denominator), 2^30 <= mantissa < 2^31.
static inline uint64_t dyad_square_root_of_ratio(uint64_t numerator, uint64_t denominator, int64_t *shift) {
  int half = (61 - (__builtin_clzll(denominator) - __builtin_clzll(numerator))) >> 1;
  dyad_u128 quotient = dyad_scaled_quotient(numerator, 2 * half, denominator);
  if (quotient >> 62 != 0) {
    half -= 1;
    quotient = dyad_scaled_quotient(numerator, 2 * half, denominator);
  } else if (quotient >> 60 == 0) {
    half += 1;
    quotient = dyad_scaled_quotient(numerator, 2 * half, denominator);
  }
  *shift = half;
  return dyad_square_root((uint64_t)quotient);
}

// 2^(fraction / 2^30) * 2^30, degree-6 minimax polynomial.
static inline int64_t dyad_exponential2(int64_t fraction) {
  int64_t sum = 232067;
  sum = 1338725 + ((sum * fraction) >> 30);
  sum = 10388937 + ((sum * fraction) >> 30);
  sum = 59576866 + ((sum * fraction) >> 30);
  sum = 257944253 + ((sum * fraction) >> 30);
  sum = 744260972 + ((sum * fraction) >> 30);
  sum = 1073741824 + ((sum * fraction) >> 30);
  return sum;
}

// unit * 2^(exponent / 2^24), rounded half up, saturated at 2^32 - 1.
static inline int64_t dyad_exponential(int64_t unit, int64_t exponent) {
  const int64_t saturated = 0xFFFFFFFF;
  int64_t whole = exponent >> 24;
  if (whole >= 32) return saturated;
  int64_t product = unit * dyad_exponential2((exponent & 0xFFFFFF) << 6);
  int64_t shift = 30 - whole;
  if (shift >= 62) return 0;
  int64_t result = shift <= 0 ? (int64_t)((uint64_t)product << -shift) : (product + ((int64_t)1 << (shift - 1))) >> shift;
  return result < saturated ? result : saturated;
}

#endif
