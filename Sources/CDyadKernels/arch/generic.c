// Plain C for any machine. Like every other set it must give the bits of DyadGraph's reference interpreter.
#include "../rows.h"

// sums[row][block * 16 + c]; a panel of 16 channels is `panel` bytes long.
static void product_8(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t panel,
                      size_t blocks, int32_t *sums) {
  for (size_t row = 0; row < rows; row++) {
    for (size_t block = 0; block < blocks; block++) {
      int32_t *line = sums + (row * blocks + block) * DYAD_BLOCK;
      memset(line, 0, DYAD_BLOCK * sizeof(int32_t));
      for (size_t g = 0; g < groups; g++) {
        const uint8_t *x = a + row * stride + g * DYAD_GROUP;
        const int8_t *w = panels + block * panel + g * 64;
        for (size_t c = 0; c < DYAD_BLOCK; c++)
          line[c] += x[0] * w[4 * c] + x[1] * w[4 * c + 1] + x[2] * w[4 * c + 2] + x[3] * w[4 * c + 3];
      }
    }
  }
}

static void product_4(const uint8_t *a, size_t stride, size_t rows, const int8_t *panels, size_t groups, size_t blocks,
                      int32_t *sums) {
  for (size_t row = 0; row < rows; row++) {
    for (size_t block = 0; block < blocks; block++) {
      int32_t *line = sums + (row * blocks + block) * DYAD_BLOCK;
      memset(line, 0, DYAD_BLOCK * sizeof(int32_t));
      for (size_t g = 0; g < groups; g++) {
        const uint8_t *x = a + row * stride + g * 2 * DYAD_GROUP;
        const uint8_t *w = (const uint8_t *)panels + (block * groups + g) * 64;
        for (size_t c = 0; c < DYAD_BLOCK; c++) {
          for (size_t i = 0; i < DYAD_GROUP; i++) {
            const int low = (w[4 * c + i] & 15) ^ 8, high = (w[4 * c + i] >> 4) ^ 8;
            line[c] += x[i] * (low - 8) + x[i + DYAD_GROUP] * (high - 8);
          }
        }
      }
    }
  }
}

static inline void sylvester(int32_t *values, size_t count, size_t power) {
  for (size_t length = 1; length < power; length *= 2) {
    for (size_t start = 0; start < count; start += 2 * length) {
      for (size_t i = start; i < start + length; i++) {
        const int32_t a = values[i], b = values[i + length];
        values[i] = a + b;
        values[i + length] = a - b;
      }
    }
  }
}

#define DYAD_ATTENTION_KERNEL
#include "../table.h"

DYAD_KERNEL_TABLE(generic);

size_t dyad_attention_scratch_bytes(const dyad_attention *attention, size_t tokens, size_t columns) {
  return attention_layout(attention, tokens, columns, NULL).bytes;
}
