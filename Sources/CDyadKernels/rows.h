// The row kernels in plain C, written so that a compiler turns every loop into vectors of whatever it may use.
//
// A kernel set includes this file once, after saying (by a target pragma) which instructions are allowed.
// Elements pass through blocks of 32-bit integers on the stack, so that no kernel depends on the types of its buffers.
#include <string.h>

#include "CDyadKernels.h"
#include "fixed_point.h"

// Multipliers are below 2^31: casts to 32 bits, here and below, tell the compiler that a product of 32-bit integers is
// enough, which every machine has as one vector instruction.
enum { ROW_CHUNK = 512 };

static inline size_t element_bytes(int32_t type) {
  return type == DYAD_U8 || type == DYAD_I8 ? 1 : type == DYAD_I32 ? 4 : 2;
}

static inline int64_t lowest(int32_t type) {
  return type == DYAD_I8 ? INT8_MIN : type == DYAD_I16 ? INT16_MIN : type == DYAD_I32 ? INT32_MIN : 0;
}

static inline int64_t highest(int32_t type) {
  switch (type) {
    case DYAD_U8: return UINT8_MAX;
    case DYAD_I8: return INT8_MAX;
    case DYAD_U16: return UINT16_MAX;
    case DYAD_I16: return INT16_MAX;
    default: return INT32_MAX;
  }
}

// out[i] = x[start + i] - zero
static inline void load_centred(dyad_format format, const void *x, size_t start, size_t count, int32_t *restrict out) {
  const int32_t zero = format.zero;
  switch (format.type) {
    case DYAD_U8: {
      const uint8_t *p = (const uint8_t *)x + start;
      for (size_t i = 0; i < count; i++) out[i] = p[i] - zero;
      break;
    }
    case DYAD_I8: {
      const int8_t *p = (const int8_t *)x + start;
      for (size_t i = 0; i < count; i++) out[i] = p[i] - zero;
      break;
    }
    case DYAD_U16: {
      const uint16_t *p = (const uint16_t *)x + start;
      for (size_t i = 0; i < count; i++) out[i] = p[i] - zero;
      break;
    }
    case DYAD_I16: {
      const int16_t *p = (const int16_t *)x + start;
      for (size_t i = 0; i < count; i++) out[i] = p[i] - zero;
      break;
    }
    default: {
      const int32_t *p = (const int32_t *)x + start;
      for (size_t i = 0; i < count; i++) out[i] = (int32_t)((uint32_t)p[i] - (uint32_t)zero);
      break;
    }
  }
}

// y[start + i] = values[i], which lies in the type's range
static inline void store(int32_t type, const int32_t *restrict values, size_t count, void *y, size_t start) {
  switch (element_bytes(type)) {
    case 1: {
      uint8_t *p = (uint8_t *)y + start;
      for (size_t i = 0; i < count; i++) p[i] = (uint8_t)values[i];
      break;
    }
    case 2: {
      uint16_t *p = (uint16_t *)y + start;
      for (size_t i = 0; i < count; i++) p[i] = (uint16_t)values[i];
      break;
    }
    default: memcpy((int32_t *)y + start, values, count * sizeof(int32_t));
  }
}

static inline size_t chunk_length(size_t start, size_t count) {
  return count - start < ROW_CHUNK ? count - start : ROW_CHUNK;
}

// values[i] = clamp(zero + rescale(values[i]))
static inline void rescale_block(int32_t *values, size_t count, dyad_rescale rescale, dyad_format output) {
  const int64_t low = lowest(output.type), high = highest(output.type), zero = output.zero;
  const int64_t shift = rescale.shift, half = (int64_t)1 << (shift - 1);
  const int32_t multiplier = (int32_t)rescale.multiplier;
  for (size_t i = 0; i < count; i++) {
    int64_t value = zero + (((int64_t)values[i] * multiplier + half) >> shift);
    values[i] = (int32_t)dyad_clamp(value, low, high);
  }
}

static void rows_embed(const dyad_embed *embed, const int32_t *tokens, size_t rows, void *y) {
  int32_t block[ROW_CHUNK];
  const dyad_format plain = {DYAD_I8, 0};
  for (size_t row = 0; row < rows; row++) {
    const size_t token = (size_t)tokens[row];
    const dyad_rescale rescale = {embed->multipliers[token], embed->shifts[token]};
    for (size_t start = 0; start < embed->width; start += ROW_CHUNK) {
      const size_t count = chunk_length(start, embed->width);
      load_centred(plain, embed->weights, token * embed->width + start, count, block);
      rescale_block(block, count, rescale, embed->output);
      store(embed->output.type, block, count, y, row * embed->width + start);
    }
  }
}

// Multipliers of one run: M_c = floor(R * |G_c| / 2^31) with G_c's sign, and one shift for all.
static inline void apply_gains(const int64_t *gains, uint64_t mantissa, int64_t extra, size_t count,
                               int32_t *restrict multipliers) {
  const uint32_t root = (uint32_t)mantissa;
  for (size_t i = 0; i < count; i++) {
    const int64_t gain = gains[i], sign = gain >> 63;
    const uint32_t size = (uint32_t)((gain ^ sign) - sign);
    const int64_t magnitude = (int64_t)((((uint64_t)root * size) >> 31) >> extra);
    multipliers[i] = (int32_t)((magnitude ^ sign) - sign);
  }
}

static void rows_rms_norm(const dyad_normalization *norm, const void *x, size_t runs, void *y) {
  int32_t block[ROW_CHUNK];
  int32_t multipliers[ROW_CHUNK];
  const size_t size = norm->size;
  const int64_t low = lowest(norm->output.type), high = highest(norm->output.type), zero = norm->output.zero;
  for (size_t run = 0; run < runs; run++) {
    int64_t squares = 0;
    for (size_t start = 0; start < size; start += ROW_CHUNK) {
      const size_t count = chunk_length(start, size);
      load_centred(norm->input, x, run * size + start, count, block);
      for (size_t i = 0; i < count; i++) squares += (int64_t)block[i] * block[i];
    }
    const uint64_t energy = ((uint64_t)squares << 16) + size * norm->epsilon;
    int64_t shift;
    const uint64_t mantissa = dyad_square_root_of_ratio((uint64_t)size << 16, energy, &shift);
    shift += norm->gain_shift - 31;
    const int64_t extra = shift > norm->maximum_shift ? shift - norm->maximum_shift : 0;
    shift -= extra;
    const int64_t half = (int64_t)1 << (shift - 1);
    for (size_t start = 0; start < size; start += ROW_CHUNK) {
      const size_t count = chunk_length(start, size);
      load_centred(norm->input, x, run * size + start, count, block);
      apply_gains(norm->gains + start, mantissa, extra < 63 ? extra : 63, count, multipliers);
      for (size_t i = 0; i < count; i++) {
        const int64_t value = zero + (((int64_t)block[i] * multipliers[i] + half) >> shift);
        block[i] = (int32_t)dyad_clamp(value, low, high);
      }
      store(norm->output.type, block, count, y, run * size + start);
    }
  }
}

static void rows_layer_norm(const dyad_normalization *norm, const void *x, size_t runs, void *y) {
  int32_t block[ROW_CHUNK];
  int32_t multipliers[ROW_CHUNK];
  const size_t size = norm->size;
  const int64_t length = (int64_t)size;
  const int64_t low = lowest(norm->output.type), high = highest(norm->output.type), zero = norm->output.zero;
  for (size_t run = 0; run < runs; run++) {
    int64_t squares = 0, sum = 0;
    for (size_t start = 0; start < size; start += ROW_CHUNK) {
      const size_t count = chunk_length(start, size);
      load_centred(norm->input, x, run * size + start, count, block);
      for (size_t i = 0; i < count; i++) {
        squares += (int64_t)block[i] * block[i];
        sum += block[i];
      }
    }
    const uint64_t variance = (uint64_t)(length * squares - sum * sum);  // n^2 times it
    dyad_u128 energy = ((dyad_u128)variance << 16) + (dyad_u128)(uint64_t)(length * length) * norm->epsilon;
    int64_t down = 0;
    while (energy >> 62 != 0) {
      energy >>= 2;
      down += 2;
    }
    int64_t shift;
    const uint64_t mantissa = dyad_square_root_of_ratio((uint64_t)1 << 16, (uint64_t)energy, &shift);
    shift += down / 2 + norm->gain_shift - 31;
    const int64_t extra = shift > norm->maximum_shift ? shift - norm->maximum_shift : 0;
    shift -= extra;
    const int64_t half = (int64_t)1 << (shift - 1);
    for (size_t start = 0; start < size; start += ROW_CHUNK) {
      const size_t count = chunk_length(start, size);
      load_centred(norm->input, x, run * size + start, count, block);
      apply_gains(norm->gains + start, mantissa, extra < 63 ? extra : 63, count, multipliers);
      for (size_t i = 0; i < count; i++) {
        int64_t value = (length * block[i] - sum) * multipliers[i];
        if (norm->biases != NULL) {
          const int64_t bias = norm->biases[start + i];
          value += shift >= 16 ? (int64_t)((uint64_t)bias << (shift - 16)) : bias >> (16 - shift);
        }
        block[i] = (int32_t)dyad_clamp(zero + ((value + half) >> shift), low, high);
      }
      store(norm->output.type, block, count, y, run * size + start);
    }
  }
}

static void rows_rotary(const dyad_rotary *rotary, const void *x, size_t rows, size_t position, void *y) {
  int32_t first[ROW_CHUNK], second[ROW_CHUNK];
  const size_t pairs = rotary->rotated / 2, dimension = rotary->dimension;
  const dyad_format output = rotary->output;
  const int64_t low = lowest(output.type), high = highest(output.type), zero = output.zero;
  const int64_t multiplier = rotary->rescale.multiplier, shift = rotary->rescale.shift;
  const int64_t half = (int64_t)1 << (shift - 1);
  for (size_t row = 0; row < rows; row++) {
    for (size_t head = 0; head < rotary->heads; head++) {
      const size_t base = (row * rotary->heads + head) * dimension;
      for (size_t start = 0; start < pairs; start += ROW_CHUNK) {
        const size_t count = chunk_length(start, pairs);
        const int16_t *cosine = rotary->cosine + (position + row) * pairs + start;
        const int16_t *sine = rotary->sine + (position + row) * pairs + start;
        load_centred(rotary->input, x, base + start, count, first);
        load_centred(rotary->input, x, base + pairs + start, count, second);
        for (size_t i = 0; i < count; i++) {
          const int64_t a = (int64_t)first[i] * cosine[i] - (int64_t)second[i] * sine[i];
          const int64_t b = (int64_t)second[i] * cosine[i] + (int64_t)first[i] * sine[i];
          first[i] = (int32_t)dyad_clamp(zero + ((a * multiplier + half) >> shift), low, high);
          second[i] = (int32_t)dyad_clamp(zero + ((b * multiplier + half) >> shift), low, high);
        }
        store(output.type, first, count, y, base + start);
        store(output.type, second, count, y, base + pairs + start);
      }
      for (size_t start = rotary->rotated; start < dimension; start += ROW_CHUNK) {
        const size_t count = chunk_length(start, dimension);
        load_centred(rotary->input, x, base + start, count, first);
        for (size_t i = 0; i < count; i++) {
          const int64_t value = zero + (((int64_t)first[i] * 16384 * multiplier + half) >> shift);
          first[i] = (int32_t)dyad_clamp(value, low, high);
        }
        store(output.type, first, count, y, base + start);
      }
    }
  }
}

static void rows_add(const dyad_binary *add, const void *left, const void *right, size_t total, void *y) {
  int32_t a[ROW_CHUNK], b[ROW_CHUNK];
  const int64_t low = lowest(add->output.type), high = highest(add->output.type), zero = add->output.zero;
  const int32_t left_multiplier = (int32_t)add->left_multiplier, right_multiplier = (int32_t)add->right_multiplier;
  const int64_t shift = add->shift, half = (int64_t)1 << (shift - 1);
  for (size_t start = 0; start < total; start += ROW_CHUNK) {
    const size_t count = chunk_length(start, total);
    load_centred(add->left, left, start, count, a);
    load_centred(add->right, right, start, count, b);
    for (size_t i = 0; i < count; i++) {
      const int64_t value = zero + (((int64_t)a[i] * left_multiplier + (int64_t)b[i] * right_multiplier + half) >> shift);
      a[i] = (int32_t)dyad_clamp(value, low, high);
    }
    store(add->output.type, a, count, y, start);
  }
}

// a[i] = clamp(zero + rescale(a[i] * b[i]))
static inline void multiply_block(const dyad_binary *multiply, int32_t *restrict a, const int32_t *restrict b,
                                  size_t count) {
  const dyad_format output = multiply->output;
  const int64_t low = lowest(output.type), high = highest(output.type), zero = output.zero;
  const int64_t multiplier = multiply->left_multiplier, shift = multiply->shift, half = (int64_t)1 << (shift - 1);
  for (size_t i = 0; i < count; i++) {
    const int64_t product = (int64_t)a[i] * b[i];
    a[i] = (int32_t)dyad_clamp(zero + ((product * multiplier + half) >> shift), low, high);
  }
}

static void rows_multiply(const dyad_binary *multiply, const void *left, const void *right, size_t total, void *y) {
  int32_t a[ROW_CHUNK], b[ROW_CHUNK];
  for (size_t start = 0; start < total; start += ROW_CHUNK) {
    const size_t count = chunk_length(start, total);
    load_centred(multiply->left, left, start, count, a);
    load_centred(multiply->right, right, start, count, b);
    multiply_block(multiply, a, b, count);
    store(multiply->output.type, a, count, y, start);
  }
}

static void rows_requantize(const dyad_requantize *requantize, const void *x, size_t total, void *y) {
  int32_t block[ROW_CHUNK];
  for (size_t start = 0; start < total; start += ROW_CHUNK) {
    const size_t count = chunk_length(start, total);
    load_centred(requantize->input, x, start, count, block);
    rescale_block(block, count, requantize->rescale, requantize->output);
    store(requantize->output.type, block, count, y, start);
  }
}

static void rows_lookup(const void *table, int32_t input_type, int32_t output_type, const void *x, size_t count,
                        void *y) {
  const size_t input_bytes = element_bytes(input_type), output_bytes = element_bytes(output_type);
  if (input_bytes == 1 && output_bytes == 1) {
    for (size_t i = 0; i < count; i++) ((uint8_t *)y)[i] = ((const uint8_t *)table)[((const uint8_t *)x)[i]];
  } else if (input_bytes == 1 && output_bytes == 2) {
    for (size_t i = 0; i < count; i++) ((uint16_t *)y)[i] = ((const uint16_t *)table)[((const uint8_t *)x)[i]];
  } else if (output_bytes == 1) {
    for (size_t i = 0; i < count; i++) ((uint8_t *)y)[i] = ((const uint8_t *)table)[((const uint16_t *)x)[i]];
  } else {
    for (size_t i = 0; i < count; i++) ((uint16_t *)y)[i] = ((const uint16_t *)table)[((const uint16_t *)x)[i]];
  }
}

// Centres and packs new keys and values (the layouts stand at dyad_cache).
static void rows_append_keys(const dyad_cache *cache, const uint8_t *x, size_t rows, size_t column) {
  const size_t dimension = cache->dimension, groups = (dimension + 3) / 4;
  for (size_t row = 0; row < rows; row++) {
    for (size_t head = 0; head < cache->heads; head++) {
      const uint8_t *source = x + (row * cache->heads + head) * dimension;
      const size_t c = column + row;
      int8_t *target = cache->packed + ((head * (cache->columns / 16) + c / 16) * groups * 16 + c % 16) * 4;
      int32_t sum = 0;
      for (size_t i = 0; i < dimension; i++) {
        const int8_t value = (int8_t)(source[i] - 128);
        target[(i / 4) * 64 + i % 4] = value;
        sum += value;
      }
      cache->sums[head * cache->columns + c] = sum;
    }
  }
}

static void rows_append_values(const dyad_cache *cache, const uint8_t *x, size_t rows, size_t column) {
  const size_t dimension = cache->dimension, blocks = (dimension + 15) / 16, groups = cache->columns / 4;
  for (size_t row = 0; row < rows; row++) {
    for (size_t head = 0; head < cache->heads; head++) {
      const uint8_t *source = x + (row * cache->heads + head) * dimension;
      const size_t c = column + row;
      int8_t *target = cache->packed + (head * blocks * groups + c / 4) * 64 + c % 4;
      for (size_t i = 0; i < dimension; i++)
        target[(i / 16) * groups * 64 + (i % 16) * 4] = (int8_t)(source[i] - 128);
    }
  }
}
