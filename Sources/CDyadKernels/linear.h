// The linear layer around a set's own inner products. Included after rows.h and after the set's definitions of
//
//   product_8(a, stride, rows, panels, groups, panel, blocks, sums), product_4(a, stride, rows, panels, groups, blocks, sums)
//
// and, if DYAD_FINISH_TILE is defined, of finish_tile (below).
//
// sums[row][block * 16 + c] = sum_k a[row * stride + k] * w[block * 16 + c][k], rows <= TILE_ROWS, blocks <= TILE_BLOCKS.
// DYAD_TILE_ROWS, an even number, may be defined before.

#ifndef DYAD_TILE_ROWS
#define DYAD_TILE_ROWS 6
#endif

enum {
  TILE_ROWS = DYAD_TILE_ROWS,
  TILE_BLOCKS = 4,
  TILE_CHANNELS = TILE_BLOCKS * DYAD_BLOCK,
  // Activations of this size stay in the second-level cache while all weights pass by.
  ROW_BLOCK_BYTES = 192 * 1024,
};

static inline size_t padded_inputs(const dyad_linear *linear) { return (linear->inputs + 7) / 8 * 8; }

// Low bytes of row r into row 2r of `planes`, high bytes into row 2r + 1.
static inline void split_planes(const uint16_t *x, size_t rows, size_t inputs, size_t stride, uint8_t *planes) {
  for (size_t row = 0; row < rows; row++) {
    const uint16_t *source = x + row * inputs;
    uint8_t *restrict low = planes + 2 * row * stride, *restrict high = low + stride;
    for (size_t i = 0; i < inputs; i++) {
      low[i] = (uint8_t)source[i];
      high[i] = (uint8_t)(source[i] >> 8);
    }
    memset(low + inputs, 0, stride - inputs);
    memset(high + inputs, 0, stride - inputs);
  }
}

#ifndef DYAD_FINISH_TILE

// One token's sums (`high` null for byte inputs) of `channels` channels to stored outputs.
static inline void finish_channels(const dyad_linear *linear, const int32_t *low, const int32_t *high, size_t channel,
                                   size_t channels, size_t row, void *y) {
  int32_t values[TILE_CHANNELS];
  const int64_t *multipliers = linear->multipliers + channel, *shifts = linear->shifts + channel;
  const int64_t *offsets = linear->offsets + channel;
  const int64_t lower = lowest(linear->output.type), upper = highest(linear->output.type);
  const int64_t zero = linear->output.zero;
  if (high == NULL) {
    for (size_t c = 0; c < channels; c++) {
      const int64_t sum = low[c] + offsets[c];
      const int64_t value = (sum * multipliers[c] + ((int64_t)1 << (shifts[c] - 1))) >> shifts[c];
      values[c] = (int32_t)dyad_clamp(zero + value, lower, upper);
    }
  } else {
    for (size_t c = 0; c < channels; c++) {
      const int64_t sum = low[c] + (int64_t)high[c] * 256 + offsets[c];
      const int64_t value = (sum * multipliers[c] + ((int64_t)1 << (shifts[c] - 1))) >> shifts[c];
      values[c] = (int32_t)dyad_clamp(zero + value, lower, upper);
    }
  }
  store(linear->output.type, values, channels, y, row * linear->outputs + channel);
}

// The sums of `tokens` tokens (rows of `line` sums, `planes` a token) of `channels` channels to outputs.
static inline void finish_tile(const dyad_linear *linear, const int32_t *sums, size_t planes, size_t tokens, size_t line,
                               size_t channel, size_t channels, size_t row, void *y) {
  for (size_t t = 0; t < tokens; t++) {
    const int32_t *low = sums + t * planes * line;
    finish_channels(linear, low, planes == 2 ? low + line : NULL, channel, channels, row + t, y);
  }
}

#endif

static void linear_rows(const dyad_linear *linear, const void *x, size_t rows, size_t first_block, size_t blocks,
                        void *y, void *scratch) {
  const size_t planes = linear->input_type == DYAD_U16 ? 2 : 1;
  const size_t stride = planes == 2 ? padded_inputs(linear) : linear->inputs;
  const uint8_t *a = x;
  if (planes == 2) {
    split_planes(x, rows, linear->inputs, stride, scratch);
    a = scratch;
  }
  const size_t groups = linear->weight_bits == 4 ? (linear->inputs + 7) / 8 : (linear->inputs + 3) / 4;
  const size_t end = first_block + blocks;
  const size_t tile_tokens = TILE_ROWS / planes;
  size_t block_tokens = ROW_BLOCK_BYTES / (stride * planes) / tile_tokens * tile_tokens;
  if (block_tokens == 0) block_tokens = tile_tokens;
  int32_t sums[TILE_ROWS * TILE_CHANNELS];
  for (size_t start = 0; start < rows; start += block_tokens) {
    const size_t stop = rows - start < block_tokens ? rows : start + block_tokens;
    for (size_t block = first_block; block < end; block += TILE_BLOCKS) {
      const size_t width = end - block < TILE_BLOCKS ? end - block : TILE_BLOCKS;
      const size_t channel = block * DYAD_BLOCK;
      const size_t left = linear->outputs - channel;
      const size_t channels = left < width * DYAD_BLOCK ? left : width * DYAD_BLOCK;
      const int8_t *panels = linear->panels + block * groups * 64;
      for (size_t row = start; row < stop; row += tile_tokens) {
        const size_t tokens = stop - row < tile_tokens ? stop - row : tile_tokens;
        const uint8_t *tile = a + row * planes * stride;
        if (linear->weight_bits == 4) {
          product_4(tile, stride, tokens * planes, panels, groups, width, sums);
        } else {
          product_8(tile, stride, tokens * planes, panels, groups, groups * 64, width, sums);
        }
        const size_t line = width * DYAD_BLOCK;
        finish_tile(linear, sums, planes, tokens, line, channel, channels, row, y);
      }
    }
  }
}
