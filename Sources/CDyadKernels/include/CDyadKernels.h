// Integer kernels of the Dyad runtime.
//
// Every function computes exactly the bits that the page Numerics prescribes, and none uses a floating-point type or
// instruction. A kernel works on plain memory that the caller has validated and laid out: it checks nothing.
//
// Vocabulary: a *row* is one token; `rescale(a) = (a * multiplier + 2^(shift - 1)) >> shift` in 64 bits.
#ifndef CDYADKERNELS_H
#define CDYADKERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Bytes that a kernel may read past the end of an input buffer, so that vector loads need no tail.
#define DYAD_READ_PADDING 64
// Channels of a packed block, and inputs of a packed group: one 512-bit vector of bytes.
#define DYAD_BLOCK 16
#define DYAD_GROUP 4

// The integer type of a buffer.
typedef enum {
  DYAD_U8,
  DYAD_I8,
  DYAD_U16,
  DYAD_I16,
  DYAD_I32,
} dyad_type;

// Elements of a buffer: their type and zero point. Results are clamped to the type's range.
typedef struct {
  int32_t type;  // a dyad_type
  int32_t zero;
} dyad_format;

// multiplier * 2^(-shift), 0 <= multiplier < 2^31, 1 <= shift <= 62.
typedef struct {
  int64_t multiplier;
  int64_t shift;
} dyad_rescale;

// ---- linear ---------------------------------------------------------------------------------------------------

// y[row][c] = zero + rescale_c(sum_k x[row][k] * w[c][k] + offset_c), offset_c = bias_c - z_x * sum_k w[c][k].
//
// `panels` comes from dyad_pack_weights. `multipliers`, `shifts` and `offsets` have one entry a channel, padded with
// (0, 1, 0) to whole blocks. |sum_k x * w| < 2^31 for bytes x (inputs <= 65536).
typedef struct {
  size_t inputs;
  size_t outputs;
  int32_t weight_bits;  // 8 or 4
  int32_t input_type;   // DYAD_U8 or DYAD_U16 (as two planes of bytes)
  const int8_t *panels;
  const int64_t *multipliers;
  const int64_t *shifts;
  const int64_t *offsets;
  dyad_format output;
} dyad_linear;

// Bytes of the packed weights.
size_t dyad_packed_weight_bytes(size_t outputs, size_t inputs, int32_t weight_bits);

// Packs weights [outputs, inputs]: i8 one a byte, i4 two a byte (low nibble first, the whole matrix as one stream)
// into blocks of 16 channels. 8 bits: [block][input / 4][16][4]. 4 bits: [block][input / 8][16][4] bytes, the low nibble
// for the first four inputs of a group of eight and the high nibble for the other four. Missing inputs and channels are 0.
// Handles the blocks `first_block ..< first_block + blocks`.
void dyad_pack_weights(const uint8_t *weights, size_t outputs, size_t inputs, int32_t weight_bits, size_t first_block,
                       size_t blocks, int8_t *panels);

// Bytes of scratch memory that `linear` needs for so many rows.
size_t dyad_linear_scratch_bytes(const dyad_linear *linear, size_t rows);

// ---- key and value caches -------------------------------------------------------------------------------------

// One cache for all key/value heads. Values are stored centred (q - 128, s8).
//
// Keys: [head][column / 16][d / 4][16][4] and the sum over d of every column; values: [head][d / 16][column / 4][16][4].
// d is padded to a multiple of 4 (keys) or 16 (values); `columns` is a multiple of 64.
typedef struct {
  size_t heads;
  size_t dimension;
  size_t columns;
  int8_t *packed;
  int32_t *sums;  // keys only: [head][column]
} dyad_cache;

size_t dyad_key_cache_bytes(size_t heads, size_t dimension, size_t columns);
size_t dyad_value_cache_bytes(size_t heads, size_t dimension, size_t columns);

// ---- attention ------------------------------------------------------------------------------------------------

typedef enum {
  DYAD_SOFTMAX,          // softmax to u16, then P.V with one rescale
  DYAD_LATE_DIVISION_8,  // exponentials u8, division after P.V
  DYAD_LATE_DIVISION_16,
} dyad_attention_form;

// y = zero + rescale_result(tanh(rescale_argument(x - zero_x) / 2^24) * 2^30).
typedef struct {
  dyad_format input;   // DYAD_U16 or DYAD_I32
  dyad_format output;  // the same type
  dyad_rescale argument;
  dyad_rescale result;
  const int32_t *tangents;  // tanh(i / 1024) * 2^30 for i = 0 ... 16385; null for no cap
} dyad_soft_cap;

// Scores, mask, exponentials and P.V of a group of query heads, without the whole score matrix. The heads of a group are
// neighbours and read the same key head and the same value head; keys and values may have different numbers of heads.
typedef struct {
  size_t heads;
  size_t group;            // query heads of a group; divides heads
  size_t dimension;        // of queries and keys
  size_t value_dimension;  // of values
  size_t prefix;           // constant columns in front
  int32_t form;            // a dyad_attention_form
  dyad_format query;       // DYAD_U8, or DYAD_U16 with a dimension of at most 256: sums fit 32 bits
  dyad_rescale score;      // to u16
  int32_t score_zero;
  dyad_soft_cap cap;       // of the scores, before the mask
  dyad_rescale exponent;   // score difference to a power of two in units of 2^-24
  dyad_rescale value;      // softmax: of P.V; late division: rho
  dyad_format output;
} dyad_attention;

// Where every intermediate goes when someone watches; all pointers may be null.
// Rows are [head][token] with a stride of `context` columns (`prefix` for the weights); columns past `context` are not written.
typedef struct {
  uint16_t *scores;         // before the cap and the mask
  uint16_t *capped;         // before the mask
  uint16_t *masked;
  uint16_t *probabilities;  // exponentials or probabilities
  uint32_t *prefix_weights;
  size_t tokens;
  size_t context;
} dyad_attention_watch;

// Bytes of scratch memory for `tokens` tokens of one group of heads and at most `columns` visible columns.
size_t dyad_attention_scratch_bytes(const dyad_attention *attention, size_t tokens, size_t columns);

// ---- rows -----------------------------------------------------------------------------------------------------

// Root-mean-square or layer normalisation over runs of `size` elements.
typedef struct {
  size_t size;
  dyad_format input;
  dyad_format output;
  uint64_t epsilon;        // in units of s_x^2 / 2^16, at least 1
  const int64_t *gains;    // [size], signed, in units of 2^-gain_shift
  int64_t gain_shift;
  int64_t maximum_shift;   // multipliers lose the bits beyond
  const int64_t *biases;   // [size] in units of 2^-16 output steps, or null (layer normalisation only)
} dyad_normalization;

// cos/sin rotation of pairs (i, i + rotated / 2) of every head; tables Q1.14 [position][rotated / 2].
typedef struct {
  size_t heads;
  size_t dimension;
  size_t rotated;
  const int16_t *cosine;
  const int16_t *sine;
  dyad_format input;
  dyad_format output;
  dyad_rescale rescale;
} dyad_rotary;

// zero + (left * m_l + right * m_r + 2^(shift - 1)) >> shift, or zero + rescale(left * right).
typedef struct {
  dyad_format left;
  dyad_format right;
  dyad_format output;
  int64_t left_multiplier;   // add: of the left; multiply: of the product
  int64_t right_multiplier;  // add only
  int64_t shift;
} dyad_binary;

typedef struct {
  dyad_format input;
  dyad_format output;
  dyad_rescale rescale;
} dyad_requantize;

// y = x . (base (x) Sylvester(power)) within blocks of base_order * power elements; `base` is [row][column], entries +1 and -1.
typedef struct {
  size_t width;
  size_t base_order;
  size_t power;
  const int8_t *base;
  dyad_format input;
} dyad_hadamard;

// multiply, then hadamard, then requantize, row by row.
typedef struct {
  dyad_binary multiply;
  dyad_hadamard hadamard;
  dyad_requantize requantize;
} dyad_gated_hadamard;

// Rows of an i8 table; every row has its own rescale.
typedef struct {
  size_t width;
  const int8_t *weights;
  const int64_t *multipliers;
  const int64_t *shifts;
  dyad_format output;
} dyad_embed;

// ---- the table ------------------------------------------------------------------------------------------------

// One complete set of kernels for one instruction set.
typedef struct {
  const char *name;  // "generic", "avx2", "avx512vnni"

  // Rows 0 ..< rows of x [rows, inputs], channels of the blocks first_block ..< first_block + blocks, into y [rows, outputs].
  void (*linear)(const dyad_linear *linear, const void *x, size_t rows, size_t first_block, size_t blocks, void *y,
                 void *scratch);

  // x: u8 with zero point 128, [rows, heads * dimension], into the columns from `column` on.
  void (*append_keys)(const dyad_cache *cache, const uint8_t *x, size_t rows, size_t column);
  void (*append_values)(const dyad_cache *cache, const uint8_t *x, size_t rows, size_t column);

  // Tokens first_token ..< first_token + tokens of queries [., heads * dimension], the heads of group number `group`;
  // token t stands at column `column + t`. prefix_values: s8 [value head][prefix][value_dimension].
  void (*attention)(const dyad_attention *attention, const dyad_cache *keys, const dyad_cache *values,
                    const int8_t *prefix_values, size_t group, size_t first_token, size_t tokens, size_t column,
                    const void *queries, void *output, void *scratch, const dyad_attention_watch *watch);

  void (*embed)(const dyad_embed *embed, const int32_t *tokens, size_t rows, void *y);
  void (*rms_norm)(const dyad_normalization *norm, const void *x, size_t runs, void *y);
  void (*layer_norm)(const dyad_normalization *norm, const void *x, size_t runs, void *y);
  void (*rotary)(const dyad_rotary *rotary, const void *x, size_t rows, size_t position, void *y);
  void (*add)(const dyad_binary *add, const void *left, const void *right, size_t count, void *y);
  void (*multiply)(const dyad_binary *multiply, const void *left, const void *right, size_t count, void *y);
  void (*requantize)(const dyad_requantize *requantize, const void *x, size_t count, void *y);
  // scratch: hadamard.width elements of i32.
  void (*hadamard)(const dyad_hadamard *hadamard, const void *x, size_t rows, int32_t *y, int32_t *scratch);
  // scratch: hadamard.width elements of i32, twice.
  void (*gated_hadamard)(const dyad_gated_hadamard *gated, const void *left, const void *right, size_t rows, void *y,
                         int32_t *scratch);
  // x and y may be the same.
  void (*soft_cap)(const dyad_soft_cap *cap, const void *x, size_t count, void *y);
  // table: 256 or 65536 entries of the output's type, by the input's bits.
  void (*lookup)(const void *table, int32_t input_type, int32_t output_type, const void *x, size_t count, void *y);
} dyad_kernels;

// The set of that name, or null where it is unknown or this CPU cannot run it.
const dyad_kernels *dyad_kernels_named(const char *name);

// The fastest set that this CPU and operating system can run.
const dyad_kernels *dyad_kernels_best(void);

// ---- threads --------------------------------------------------------------------------------------------------

typedef struct dyad_pool dyad_pool;

// `threads` in all, the caller's among them (threads - 1 are started). Null where a thread cannot be started.
dyad_pool *dyad_pool_create(size_t threads);
void dyad_pool_destroy(dyad_pool *pool);

// Calls body(context, task, worker) once for every task 0 ..< tasks, 0 <= worker < threads, and returns when all are done.
// Tasks must be independent of one another: which worker takes which one is decided while they run.
void dyad_pool_run(dyad_pool *pool, size_t tasks, void (*body)(void *context, size_t task, size_t worker),
                   void *context);

#ifdef __cplusplus
}
#endif
#endif
