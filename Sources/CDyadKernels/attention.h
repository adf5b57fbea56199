// Attention of a group of query heads over a tile of tokens. Included after linear.h.
//
// Rows of a tile are (token, query head) pairs; all of them read the same keys and values, so a tile is three small
// matrix products with row-wise functions in between, and the score matrix never leaves the second-level cache.

enum { VALUE_CHUNK = 8192 };  // columns whose products of bytes are summed in 32 bits

typedef struct {
  uint8_t *queries;         // [rows * query planes][padded dimension]
  uint16_t *scores;         // [rows][columns]
  uint8_t *weights;         // [rows * planes][columns]
  uint32_t *exponentials;   // [columns], softmax only
  uint32_t *prefix;         // [rows][prefix]
  int64_t *mass;            // [rows]
  int64_t *sums;            // [rows][padded value dimension]
  size_t bytes;
} attention_memory;

static inline void *take(char *base, size_t *used, size_t bytes) {
  void *place = base == NULL ? NULL : base + *used;
  *used += (bytes + 63) / 64 * 64;
  return place;
}

static inline size_t attention_planes(const dyad_attention *attention) {
  return attention->form == DYAD_LATE_DIVISION_8 ? 1 : 2;
}

static inline size_t query_planes(const dyad_attention *attention) { return attention->query.type == DYAD_U16 ? 2 : 1; }

static inline attention_memory attention_layout(const dyad_attention *attention, size_t tokens, size_t columns,
                                                void *scratch) {
  const size_t rows = attention->group * tokens;
  const size_t padded = (columns + 63) / 64 * 64;
  attention_memory memory;
  size_t used = 0;
  const size_t query_bytes = rows * query_planes(attention) * ((attention->dimension + 3) / 4 * 4);
  memory.queries = take(scratch, &used, query_bytes + DYAD_READ_PADDING);
  memory.scores = take(scratch, &used, rows * padded * sizeof(uint16_t));
  memory.weights = take(scratch, &used, rows * attention_planes(attention) * padded + DYAD_READ_PADDING);
  memory.exponentials = take(scratch, &used, attention->form == DYAD_SOFTMAX ? padded * sizeof(uint32_t) : 0);
  memory.prefix = take(scratch, &used, rows * attention->prefix * sizeof(uint32_t));
  memory.mass = take(scratch, &used, rows * sizeof(int64_t));
  memory.sums = take(scratch, &used, rows * ((attention->value_dimension + 15) / 16 * 16) * sizeof(int64_t));
  memory.bytes = used;
  return memory;
}

#ifdef DYAD_ATTENTION_KERNEL

static inline int32_t row_maximum(const uint16_t *scores, size_t count) {
  uint16_t maximum = 0;
  for (size_t i = 0; i < count; i++) maximum = scores[i] > maximum ? scores[i] : maximum;
  return maximum;
}

// dyad_exponential of rescale(score - maximum) where score <= maximum: nothing saturates.
static inline uint64_t falling_exponential(int64_t difference, dyad_rescale rescale, uint32_t unit) {
  const int64_t exponent =
      ((int64_t)(int32_t)difference * (int32_t)rescale.multiplier + ((int64_t)1 << (rescale.shift - 1))) >> rescale.shift;
  const uint32_t fraction = ((uint32_t)exponent & 0xFFFFFF) << 6;
  const int64_t down = 30 - (exponent >> 24);
  const uint64_t shift = (uint64_t)(down < 62 ? down : 62);
  uint64_t sum = 232067;
  sum = 1338725 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  sum = 10388937 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  sum = 59576866 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  sum = 257944253 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  sum = 744260972 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  sum = 1073741824 + (((uint64_t)(uint32_t)sum * fraction) >> 30);
  const uint64_t result = ((uint64_t)(uint32_t)sum * unit + ((uint64_t)1 << (shift - 1))) >> shift;
  return down < 62 ? result : 0;
}

static inline void score_rows(const dyad_attention *attention, const attention_memory *memory, const dyad_cache *keys,
                              size_t head, size_t rows, size_t columns, size_t padded) {
  const size_t groups = (attention->dimension + 3) / 4, stride = groups * 4, planes = query_planes(attention);
  const int8_t *panels = keys->packed + head * (keys->columns / DYAD_BLOCK) * groups * 64;
  const int32_t *key_sums = keys->sums + head * keys->columns;
  const int32_t multiplier = (int32_t)attention->score.multiplier;
  const int64_t shift = attention->score.shift;
  const int64_t half = (int64_t)1 << (shift - 1), zero = attention->score_zero;
  int32_t sums[TILE_ROWS * TILE_CHANNELS], offsets[TILE_CHANNELS];
  for (size_t column = 0; column < columns; column += TILE_CHANNELS) {
    for (size_t c = 0; c < TILE_CHANNELS; c++) offsets[c] = -attention->query.zero * key_sums[column + c];
    for (size_t row = 0; row < rows; row += TILE_ROWS / planes) {
      const size_t count = rows - row < TILE_ROWS / planes ? rows - row : TILE_ROWS / planes;
      product_8(memory->queries + row * planes * stride, stride, count * planes, panels + column * groups * 4, groups,
                groups * 64, TILE_BLOCKS, sums);
      for (size_t r = 0; r < count; r++) {
        uint16_t *restrict scores = memory->scores + (row + r) * padded + column;
        int32_t *restrict line = sums + r * planes * TILE_CHANNELS;
        // The sum fits 32 bits, its parts may not: unsigned arithmetic wraps around.
        if (planes == 2)
          for (size_t c = 0; c < TILE_CHANNELS; c++)
            line[c] = (int32_t)((uint32_t)line[c] + 256 * (uint32_t)line[TILE_CHANNELS + c]);
        for (size_t c = 0; c < TILE_CHANNELS; c++) {
          const int64_t sum = (int32_t)((uint32_t)line[c] + (uint32_t)offsets[c]);
          scores[c] = (uint16_t)dyad_clamp(zero + ((sum * multiplier + half) >> shift), 0, UINT16_MAX);
        }
      }
    }
  }
}

// Exponentials of the visible columns [prefix, visible) into planes of bytes, the prefix' weights apart; returns the mass.
static inline int64_t late_row(const dyad_attention *attention, const uint16_t *scores, size_t visible, size_t padded,
                               uint8_t *weights, uint32_t *prefix_weights) {
  const size_t prefix = attention->prefix;
  const int32_t maximum = row_maximum(scores + prefix, visible - prefix);
  const dyad_rescale rescale = attention->exponent;
  uint64_t mass = 0;
  memset(weights, 0, prefix);
  if (attention->form == DYAD_LATE_DIVISION_8) {
    for (size_t c = prefix; c < visible; c++) {
      const uint64_t e = falling_exponential((int64_t)scores[c] - maximum, rescale, 255);
      weights[c] = (uint8_t)e;
      mass += e;
    }
    memset(weights + visible, 0, padded - visible);
  } else {
    uint8_t *restrict high = weights + padded;
    memset(high, 0, prefix);
    for (size_t c = prefix; c < visible; c++) {
      const uint64_t e = falling_exponential((int64_t)scores[c] - maximum, rescale, 65535);
      weights[c] = (uint8_t)e;
      high[c] = (uint8_t)(e >> 8);
      mass += e;
    }
    memset(weights + visible, 0, padded - visible);
    memset(high + visible, 0, padded - visible);
  }
  const int64_t unit = attention->form == DYAD_LATE_DIVISION_8 ? 255 : 65535;
  for (size_t c = 0; c < prefix; c++) {
    const int64_t exponent = dyad_rescaled((int64_t)scores[c] - maximum, rescale.multiplier, rescale.shift);
    prefix_weights[c] = (uint32_t)dyad_exponential(unit, exponent);
    mass += prefix_weights[c];
  }
  return (int64_t)mass;
}

// Probabilities u16 of the visible columns into two planes of bytes.
static inline void softmax_row(const dyad_attention *attention, const uint16_t *scores, size_t visible, size_t padded,
                               uint8_t *weights, uint32_t *restrict exponentials) {
  const int32_t maximum = row_maximum(scores, visible);
  uint64_t mass = 0;
  for (size_t c = 0; c < visible; c++) {
    const uint64_t e = falling_exponential((int64_t)scores[c] - maximum, attention->exponent, 1 << 30);
    exponentials[c] = (uint32_t)e;
    mass += e;
  }
  const int shift = dyad_bit_width(mass) + 14;
  const uint32_t reciprocal = (uint32_t)(((dyad_u128)65535 << shift) / mass);  // at most 65535 * 2^15
  const uint64_t half = (uint64_t)1 << (shift - 1);
  uint8_t *restrict high = weights + padded;
  for (size_t c = 0; c < visible; c++) {
    const uint64_t p = ((uint64_t)exponentials[c] * reciprocal + half) >> shift;
    weights[c] = (uint8_t)p;
    high[c] = (uint8_t)(p >> 8);
  }
  memset(weights + visible, 0, padded - visible);
  memset(high + visible, 0, padded - visible);
}

static inline void value_rows(const dyad_attention *attention, const attention_memory *memory, const dyad_cache *values,
                              size_t head, size_t rows, size_t columns, size_t padded) {
  const size_t planes = attention_planes(attention), blocks = (attention->value_dimension + 15) / 16;
  const size_t width = blocks * 16, groups = values->columns / 4, panel = groups * 64;
  const int8_t *panels = values->packed + head * blocks * panel;
  int32_t sums[TILE_ROWS * TILE_CHANNELS];
  memset(memory->sums, 0, rows * width * sizeof(int64_t));
  for (size_t column = 0; column < columns; column += VALUE_CHUNK) {
    const size_t left = columns - column, length = left < VALUE_CHUNK ? left : VALUE_CHUNK;
    for (size_t block = 0; block < blocks; block += TILE_BLOCKS) {
      const size_t tile_blocks = blocks - block < TILE_BLOCKS ? blocks - block : TILE_BLOCKS;
      const size_t line = tile_blocks * DYAD_BLOCK;
      for (size_t row = 0; row < rows; row += TILE_ROWS / planes) {
        const size_t count = rows - row < TILE_ROWS / planes ? rows - row : TILE_ROWS / planes;
        product_8(memory->weights + row * planes * padded + column, padded, count * planes,
                  panels + block * panel + column * 16, (length + 3) / 4, panel, tile_blocks, sums);
        for (size_t r = 0; r < count * planes; r++) {
          const int32_t *restrict from = sums + r * line;
          int64_t *restrict to = memory->sums + (row + r / planes) * width + block * DYAD_BLOCK;
          const int32_t unit = planes == 2 && r % 2 == 1 ? 256 : 1;
          for (size_t c = 0; c < line; c++) to[c] += (int64_t)unit * from[c];
        }
      }
    }
  }
}

static inline void finish_row(const dyad_attention *attention, const int8_t *prefix_values, const uint32_t *prefix_weights,
                              int64_t mass, int64_t *restrict sums, size_t row, void *y) {
  const size_t dimension = attention->value_dimension;
  int64_t multiplier = attention->value.multiplier, shift = attention->value.shift;
  if (attention->form != DYAD_SOFTMAX) {
    for (size_t column = 0; column < attention->prefix; column++) {
      const int64_t weight = prefix_weights[column];
      const int8_t *restrict values = prefix_values + column * dimension;
      for (size_t c = 0; c < dimension; c++) sums[c] += weight * values[c];
    }
    const int64_t width = dyad_bit_width((uint64_t)mass);
    const int64_t bits = 54 - width < 30 ? 54 - width : 30;
    const int64_t up = bits + width - 31 > 0 ? bits + width - 31 : 0;
    multiplier = (int64_t)(((uint64_t)multiplier << up) / (uint64_t)mass);
    shift += up;
  }
  const int64_t half = (int64_t)1 << (shift - 1), zero = attention->output.zero;
  const int64_t low = lowest(attention->output.type), high = highest(attention->output.type);
  int32_t block[ROW_CHUNK];
  for (size_t start = 0; start < dimension; start += ROW_CHUNK) {
    const size_t count = chunk_length(start, dimension);
    for (size_t c = 0; c < count; c++)
      block[c] = (int32_t)dyad_clamp(zero + ((sums[start + c] * multiplier + half) >> shift), low, high);
    store(attention->output.type, block, count, y, row * dimension + start);
  }
}

static inline void watch_row(const dyad_attention *attention, const dyad_attention_watch *watch, size_t head,
                             size_t token, size_t visible, size_t padded, const uint16_t *scores, const uint8_t *weights,
                             const uint32_t *prefix_weights) {
  const size_t line = head * watch->tokens + token, start = line * watch->context;
  for (size_t c = 0; c < watch->context; c++) {
    if (watch->capped != NULL) watch->capped[start + c] = scores[c];
    if (watch->masked != NULL) watch->masked[start + c] = c < visible ? scores[c] : 0;
    if (watch->probabilities != NULL) {
      const int high = attention_planes(attention) == 2 ? weights[padded + c] : 0;
      watch->probabilities[start + c] = (uint16_t)(weights[c] + 256 * high);
    }
  }
  if (watch->prefix_weights != NULL && attention->form != DYAD_SOFTMAX)
    for (size_t c = 0; c < attention->prefix; c++)
      watch->prefix_weights[line * attention->prefix + c] = prefix_weights[c];
}

static void rows_soft_cap(const dyad_soft_cap *cap, const void *x, size_t total, void *y) {
  int32_t block[ROW_CHUNK];
  const int64_t low = lowest(cap->output.type), high = highest(cap->output.type), zero = cap->output.zero;
  const int64_t multiplier = cap->argument.multiplier, shift = cap->argument.shift, half = (int64_t)1 << (shift - 1);
  const int32_t *tangents = cap->tangents;
  for (size_t start = 0; start < total; start += ROW_CHUNK) {
    const size_t count = chunk_length(start, total);
    load_centred(cap->input, x, start, count, block);
    for (size_t i = 0; i < count; i++) {
      const int64_t argument = ((int64_t)block[i] * multiplier + half) >> shift;
      const int64_t magnitude = dyad_clamp(argument < 0 ? -argument : argument, 0, (int64_t)1 << 28);
      const int64_t left = tangents[magnitude >> 14], right = tangents[(magnitude >> 14) + 1];
      const int64_t tangent = left + (((right - left) * (magnitude & 0x3FFF) + 0x2000) >> 14);
      const int64_t value = dyad_rescaled(argument < 0 ? -tangent : tangent, cap->result.multiplier, cap->result.shift);
      block[i] = (int32_t)dyad_clamp(zero + value, low, high);
    }
    store(cap->output.type, block, count, y, start);
  }
}

static void attention_tile(const dyad_attention *attention, const dyad_cache *keys, const dyad_cache *values,
                           const int8_t *prefix_values, size_t group, size_t first_token, size_t tokens, size_t column,
                           const void *queries, void *output, void *scratch, const dyad_attention_watch *watch) {
  const size_t members = attention->group, rows = members * tokens, first_head = group * members;
  const size_t key_head = first_head / (attention->heads / keys->heads);
  const size_t value_head = first_head / (attention->heads / values->heads);
  const size_t columns = watch == NULL ? column + first_token + tokens : watch->context;
  const size_t padded = (columns + 63) / 64 * 64, planes = attention_planes(attention);
  const attention_memory memory = attention_layout(attention, tokens, columns, scratch);
  const size_t stride = (attention->dimension + 3) / 4 * 4, width = (attention->value_dimension + 15) / 16 * 16;
  for (size_t row = 0; row < rows; row++) {
    const size_t place = (first_token + row / members) * attention->heads + first_head + row % members;
    uint8_t *restrict low = memory.queries + row * query_planes(attention) * stride, *restrict high = low + stride;
    memset(low + stride - 4, 0, 4);
    if (attention->query.type == DYAD_U8) {
      memcpy(low, (const uint8_t *)queries + place * attention->dimension, attention->dimension);
      continue;
    }
    memset(high + stride - 4, 0, 4);
    const uint16_t *wide = (const uint16_t *)queries + place * attention->dimension;
    for (size_t c = 0; c < attention->dimension; c++) {
      low[c] = (uint8_t)wide[c];
      high[c] = (uint8_t)(wide[c] >> 8);
    }
  }
  score_rows(attention, &memory, keys, key_head, rows, columns, padded);
  for (size_t row = 0; row < rows; row++) {
    const size_t visible = column + first_token + row / members + 1;
    uint16_t *scores = memory.scores + row * padded;
    if (watch != NULL && watch->scores != NULL) {
      const size_t line = (first_head + row % members) * watch->tokens + first_token + row / members;
      memcpy(watch->scores + line * watch->context, scores, watch->context * sizeof(uint16_t));
    }
    if (attention->cap.tangents != NULL)
      rows_soft_cap(&attention->cap, scores, watch == NULL ? visible : watch->context, scores);
    uint8_t *weights = memory.weights + row * planes * padded;
    uint32_t *prefix_weights = memory.prefix + row * attention->prefix;
    if (attention->form == DYAD_SOFTMAX) {
      softmax_row(attention, scores, visible, padded, weights, memory.exponentials);
      memory.mass[row] = 0;
    } else {
      memory.mass[row] = late_row(attention, scores, visible, padded, weights, prefix_weights);
    }
    if (watch != NULL)
      watch_row(attention, watch, first_head + row % members, first_token + row / members, visible, padded, scores, weights,
                prefix_weights);
  }
  value_rows(attention, &memory, values, value_head, rows, columns, padded);
  for (size_t row = 0; row < rows; row++) {
    const size_t place = (first_token + row / members) * attention->heads + first_head + row % members;
    finish_row(attention, prefix_values + value_head * attention->prefix * attention->value_dimension,
               memory.prefix + row * attention->prefix, memory.mass[row], memory.sums + row * width, place, output);
  }
}

#endif
