// The table of a set. Every set has the same functions under the same names, compiled for its own instructions: a new kernel is
// one line here. Included last.
#include "linear.h"
#include "attention.h"
#include "hadamard.h"

#define DYAD_KERNEL_TABLE(set)               \
  const dyad_kernels dyad_kernels_##set = {  \
      .name = #set,                          \
      .linear = linear_rows,                 \
      .append_keys = rows_append_keys,       \
      .append_values = rows_append_values,   \
      .attention = attention_tile,           \
      .embed = rows_embed,                   \
      .rms_norm = rows_rms_norm,             \
      .layer_norm = rows_layer_norm,         \
      .rotary = rows_rotary,                 \
      .add = rows_add,                       \
      .multiply = rows_multiply,             \
      .requantize = rows_requantize,         \
      .hadamard = rows_hadamard,             \
      .gated_hadamard = rows_gated_hadamard, \
      .soft_cap = rows_soft_cap,             \
      .lookup = rows_lookup,                 \
  }
