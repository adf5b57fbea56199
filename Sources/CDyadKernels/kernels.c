// Which sets exist, which of them this machine can run, and how weights are packed for all of them.
#include <stdbool.h>
#include <string.h>

#include "CDyadKernels.h"

extern const dyad_kernels dyad_kernels_generic;

#if defined(__x86_64__)
#include <cpuid.h>

extern const dyad_kernels dyad_kernels_avx2;
extern const dyad_kernels dyad_kernels_avx512vnni;

// Whether the operating system saves all registers of the mask (of XCR0).
static bool saves_registers(unsigned mask) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & mask) == mask;
}

// Whether the processor has all extensions of the masks (leaf 7, registers b and c).
static bool has_extensions(unsigned b_mask, unsigned c_mask) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & b_mask) == b_mask && (c & c_mask) == c_mask;
}

static bool has_avx2(void) {
  const unsigned avx2 = 1u << 5, bmi2 = 1u << 8;
  unsigned a, b, c, d;
  return saves_registers(0x06)  // SSE, AVX
         && has_extensions(avx2 | bmi2, 0)
         && __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & (1u << 5)) != 0;  // lzcnt
}

static bool has_avx512vnni(void) {
  const unsigned foundation = 1u << 16, doubleword = 1u << 17, byte = 1u << 30, length = 1u << 31, vnni = 1u << 11;
  return has_avx2() && saves_registers(0xE6)  // also mask registers, upper halves, registers 16 to 31
         && has_extensions(foundation | doubleword | byte | length, vnni);
}
#endif

const dyad_kernels *dyad_kernels_named(const char *name) {
  if (strcmp(name, dyad_kernels_generic.name) == 0) return &dyad_kernels_generic;
#if defined(__x86_64__)
  if (strcmp(name, dyad_kernels_avx2.name) == 0) return has_avx2() ? &dyad_kernels_avx2 : NULL;
  if (strcmp(name, dyad_kernels_avx512vnni.name) == 0) return has_avx512vnni() ? &dyad_kernels_avx512vnni : NULL;
#endif
  return NULL;
}

const dyad_kernels *dyad_kernels_best(void) {
#if defined(__x86_64__)
  if (has_avx512vnni()) return &dyad_kernels_avx512vnni;
  if (has_avx2()) return &dyad_kernels_avx2;
#endif
  return &dyad_kernels_generic;
}

size_t dyad_packed_weight_bytes(size_t outputs, size_t inputs, int32_t weight_bits) {
  const size_t blocks = (outputs + DYAD_BLOCK - 1) / DYAD_BLOCK;
  return blocks * (weight_bits == 4 ? (inputs + 7) / 8 : (inputs + 3) / 4) * 64;
}

static unsigned nibble(const uint8_t *weights, size_t outputs, size_t inputs, size_t channel, size_t input) {
  if (channel >= outputs || input >= inputs) return 0;
  const size_t index = channel * inputs + input;
  return (weights[index / 2] >> (index % 2 * 4)) & 15;
}

void dyad_pack_weights(const uint8_t *weights, size_t outputs, size_t inputs, int32_t weight_bits, size_t first_block,
                       size_t blocks, int8_t *panels) {
  const size_t groups = weight_bits == 4 ? (inputs + 7) / 8 : (inputs + 3) / 4;
  for (size_t block = first_block; block < first_block + blocks; block++) {
    for (size_t c = 0; c < DYAD_BLOCK; c++) {
      const size_t channel = block * DYAD_BLOCK + c;
      for (size_t g = 0; g < groups; g++) {
        int8_t *target = panels + (block * groups + g) * 64 + c * 4;
        for (size_t i = 0; i < DYAD_GROUP; i++) {
          if (weight_bits == 4) {
            const unsigned low = nibble(weights, outputs, inputs, channel, g * 8 + i);
            const unsigned high = nibble(weights, outputs, inputs, channel, g * 8 + 4 + i);
            target[i] = (int8_t)(low | high << 4);
          } else {
            const size_t input = g * 4 + i;
            target[i] = channel < outputs && input < inputs ? (int8_t)weights[channel * inputs + input] : 0;
          }
        }
      }
    }
  }
}

size_t dyad_linear_scratch_bytes(const dyad_linear *linear, size_t rows) {
  return linear->input_type == DYAD_U16 ? 2 * rows * ((linear->inputs + 7) / 8 * 8) + DYAD_READ_PADDING : 0;
}

size_t dyad_key_cache_bytes(size_t heads, size_t dimension, size_t columns) {
  return heads * columns * ((dimension + 3) / 4 * 4);
}

size_t dyad_value_cache_bytes(size_t heads, size_t dimension, size_t columns) {
  return heads * columns * ((dimension + 15) / 16 * 16);
}
