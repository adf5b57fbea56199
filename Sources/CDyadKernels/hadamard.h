// The Hadamard kernels around a set's own Sylvester butterfly, `sylvester(values, count, power)`, which transforms
// `count` values in runs of `power` in place. Included after rows.h.

// y = x . (base (x) Sylvester) for one block; `x` is destroyed.
static inline void hadamard_block(const dyad_hadamard *hadamard, int32_t *restrict x, int32_t *restrict y) {
  const size_t order = hadamard->base_order, power = hadamard->power;
  sylvester(x, order * power, power);
  for (size_t column = 0; column < order; column++) {
    int32_t *restrict out = y + column * power;
    for (size_t i = 0; i < power; i++) out[i] = 0;
    for (size_t row = 0; row < order; row++) {
      const int32_t *restrict in = x + row * power;
      if (hadamard->base[row * order + column] > 0) {
        for (size_t i = 0; i < power; i++) out[i] += in[i];
      } else {
        for (size_t i = 0; i < power; i++) out[i] -= in[i];
      }
    }
  }
}

// The whole row `x` (destroyed) into `y`.
static inline void hadamard_row(const dyad_hadamard *hadamard, int32_t *restrict x, int32_t *restrict y) {
  const size_t block = hadamard->base_order * hadamard->power;
  for (size_t start = 0; start < hadamard->width; start += block) hadamard_block(hadamard, x + start, y + start);
}

static void rows_hadamard(const dyad_hadamard *hadamard, const void *x, size_t rows, int32_t *y, int32_t *scratch) {
  for (size_t row = 0; row < rows; row++) {
    load_centred(hadamard->input, x, row * hadamard->width, hadamard->width, scratch);
    hadamard_row(hadamard, scratch, y + row * hadamard->width);
  }
}

static void rows_gated_hadamard(const dyad_gated_hadamard *gated, const void *left, const void *right, size_t rows,
                                void *y, int32_t *scratch) {
  const size_t width = gated->hadamard.width;
  const dyad_binary *multiply = &gated->multiply;
  const int32_t zero = gated->hadamard.input.zero;
  int32_t *product = scratch, *rotated = scratch + width;
  for (size_t row = 0; row < rows; row++) {
    load_centred(multiply->left, left, row * width, width, product);
    load_centred(multiply->right, right, row * width, width, rotated);
    multiply_block(multiply, product, rotated, width);
    for (size_t i = 0; i < width; i++) product[i] -= zero;
    hadamard_row(&gated->hadamard, product, rotated);
    rescale_block(rotated, width, gated->requantize.rescale, gated->requantize.output);
    store(gated->requantize.output.type, rotated, width, y, row * width);
  }
}
