// Every kernel of every set on small shapes with every kind of tail, and the pool, for a sanitizer to watch.
//
//     check kernels    outputs lie in memory of exactly their size, inputs in their size and DYAD_READ_PADDING; sets agree
//     check pool       1 to 4 threads share out kernels' work, start and stop
//
// scripts/sanitize_kernels compiles it. What the kernels compute is tested in Tests/DyadRuntimeTests.
#define _DEFAULT_SOURCE  // posix_memalign, usleep
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "CDyadKernels.h"

static const char *const SETS[] = {"generic", "avx2", "avx512vnni"};
enum { SET_COUNT = 3, MAX_ALLOCATIONS = 64 };

static uint64_t state = 2026;

static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int64_t between(int64_t low, int64_t high) { return low + (int64_t)(draw() % (uint64_t)(high - low + 1)); }

static void *allocations[MAX_ALLOCATIONS];
static size_t allocated;

// Memory of exactly that size, aligned as the runtime's is.
static void *output(size_t bytes) {
  void *memory = NULL;
  if (allocated == MAX_ALLOCATIONS || posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0) abort();
  memset(memory, 0xA5, bytes);
  return allocations[allocated++] = memory;
}

static void *filled(size_t bytes) {
  uint8_t *memory = output(bytes);
  for (size_t i = 0; i < bytes; i++) memory[i] = (uint8_t)(draw() >> 24);
  return memory;
}

// With the bytes behind it that a kernel may read.
static void *input(size_t bytes) { return filled(bytes + DYAD_READ_PADDING); }

static void release(void) {
  while (allocated > 0) free(allocations[--allocated]);
}

static void agree(const void *left, const void *right, size_t bytes, const char *what, const char *set) {
  if (memcmp(left, right, bytes) == 0) return;
  fprintf(stderr, "check: %s: %s does not give the generic kernel's integers\n", what, set);
  exit(1);
}

static size_t width(int32_t type) { return type == DYAD_I32 ? 4 : type == DYAD_U16 || type == DYAD_I16 ? 2 : 1; }

static dyad_format format(dyad_type type) {
  return (dyad_format){(int32_t)type, type == DYAD_U8 ? 117 : type == DYAD_U16 ? 32768 : 0};
}

// ---- linear and embedding -------------------------------------------------------------------------------------

typedef struct {
  dyad_linear linear;
  size_t rows, blocks;
  void *x;
} linear_case;

static linear_case make_linear(size_t inputs, size_t outputs, size_t rows, int32_t bits, dyad_type in, dyad_type out) {
  const size_t blocks = (outputs + DYAD_BLOCK - 1) / DYAD_BLOCK, channels = blocks * DYAD_BLOCK;
  uint8_t *weights = filled(bits == 4 ? (outputs * inputs + 1) / 2 : outputs * inputs);
  int8_t *panels = output(dyad_packed_weight_bytes(outputs, inputs, bits));
  for (size_t block = 0; block < blocks; block++)
    dyad_pack_weights(weights, outputs, inputs, bits, block, 1, panels);
  int64_t *multipliers = output(channels * 8), *shifts = output(channels * 8), *offsets = output(channels * 8);
  for (size_t c = 0; c < channels; c++) {
    multipliers[c] = between(0, (1 << 28) - 1);
    shifts[c] = in == DYAD_U16 ? between(39, 49) : between(31, 43);
    offsets[c] = between(-1000000, 1000000);
  }
  return (linear_case){
      .linear = {.inputs = inputs, .outputs = outputs, .weight_bits = bits, .input_type = (int32_t)in, .panels = panels,
                 .multipliers = multipliers, .shifts = shifts, .offsets = offsets, .output = format(out)},
      .rows = rows, .blocks = blocks, .x = input(rows * inputs * width((int32_t)in))};
}

static void check_linear(void) {
  static const size_t shapes[][3] = {{2, 1, 1},   {2, 15, 2},   {4, 17, 5},   {6, 16, 6},   {8, 64, 7},  {10, 65, 12},
                                     {66, 33, 13}, {80, 48, 3}, {130, 31, 14}, {258, 97, 4}, {34, 5, 40}, {1026, 18, 9}};
  static const dyad_type outputs[] = {DYAD_U8, DYAD_I8, DYAD_U16, DYAD_I16, DYAD_I32};
  for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++)
    for (int variant = 0; variant < 4; variant++) {
      const dyad_type out = outputs[(shape + (size_t)variant) % 5];
      const linear_case c = make_linear(shapes[shape][0], shapes[shape][1], shapes[shape][2], variant & 1 ? 4 : 8,
                                        variant & 2 ? DYAD_U16 : DYAD_U8, out);
      const size_t bytes = c.rows * c.linear.outputs * width((int32_t)out);
      void *expected = NULL;
      for (int set = 0; set < SET_COUNT; set++) {
        const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
        if (kernels == NULL) continue;
        void *y = output(bytes), *scratch = output(dyad_linear_scratch_bytes(&c.linear, c.rows));
        kernels->linear(&c.linear, c.x, c.rows, 0, c.blocks / 2, y, scratch);
        kernels->linear(&c.linear, c.x, c.rows, c.blocks / 2, c.blocks - c.blocks / 2, y, scratch);
        if (expected == NULL) expected = y;
        agree(expected, y, bytes, "linear", SETS[set]);
      }
      release();
    }
}

static void check_embed(void) {
  for (size_t columns = 1; columns < 70; columns += 11) {
    const size_t ids = 7, rows = 5;
    int64_t *multipliers = output(ids * 8), *shifts = output(ids * 8);
    int32_t *tokens = output(rows * 4);
    for (size_t i = 0; i < ids; i++) {
      multipliers[i] = between(0, INT32_MAX);
      shifts[i] = between(20, 30);
    }
    for (size_t i = 0; i < rows; i++) tokens[i] = (int32_t)(i == 0 ? ids - 1 : draw() % ids);
    const dyad_embed embed = {.width = columns, .weights = filled(ids * columns), .multipliers = multipliers,
                              .shifts = shifts, .output = format(DYAD_U16)};
    void *expected = NULL;
    for (int set = 0; set < SET_COUNT; set++) {
      const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
      if (kernels == NULL) continue;
      void *y = output(rows * columns * 2);
      kernels->embed(&embed, tokens, rows, y);
      if (expected == NULL) expected = y;
      agree(expected, y, rows * columns * 2, "embed", SETS[set]);
    }
    release();
  }
}

// ---- attention ------------------------------------------------------------------------------------------------

// What tanh's table may hold at most, in no order: the kernels must not care.
static int32_t tangents[16386];

static void fill_tangents(void) {
  for (size_t i = 0; i < sizeof tangents / sizeof *tangents; i++) tangents[i] = (int32_t)between(0, 1 << 30);
}

static void check_attention(void) {
  static const size_t shapes[][5] = {  // dimension, value dimension, prefix, columns in all, tokens
      {2, 2, 0, 5, 5}, {6, 10, 1, 17, 3}, {10, 6, 3, 70, 9}, {64, 64, 2, 130, 1}, {20, 33, 0, 64, 16}, {4, 16, 4, 200, 7}};
  for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++)
    for (int32_t form = DYAD_SOFTMAX; form <= DYAD_LATE_DIVISION_16; form++)
      for (int kind = 0; kind < 4; kind++) {
        const int watched = kind % 2, wide = kind / 2;
        const size_t dimension = shapes[shape][0], values = shapes[shape][1], prefix = shapes[shape][2];
        const size_t columns = shapes[shape][3], tokens = shapes[shape][4], groups = 2, group = 1 + shape % 3;
        const size_t heads = groups * group, padded = (columns + 63) / 64 * 64, position = columns - tokens;
        const dyad_attention attention = {
            .heads = heads, .group = group, .dimension = dimension, .value_dimension = values, .prefix = prefix, .form = form,
            .query = {wide ? DYAD_U16 : DYAD_U8, wide ? 32768 : 120}, .score = {1 << 30, 34}, .score_zero = 32768, .exponent = {1660000000, 15},
            .cap = {format(DYAD_U16), format(DYAD_U16), {1 << 30, 16}, {1 << 30, 45}, shape % 2 == 1 ? tangents : NULL},
            .value = {1000000007 >> (form == DYAD_SOFTMAX ? 0 : 1), form == DYAD_SOFTMAX ? 44 : 28}, .output = format(DYAD_U8)};
        uint8_t *keys = input(columns * groups * dimension), *rows = input(columns * groups * values);
        const void *queries = input(tokens * heads * dimension * (wide ? 2 : 1));
        int8_t *prefix_values = filled(groups * prefix * values);
        const size_t bytes = tokens * heads * values, row = heads * tokens * columns;
        void *expected = NULL, *expected_masked = NULL;
        for (int set = 0; set < SET_COUNT; set++) {
          const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
          if (kernels == NULL) continue;
          int8_t *packed_keys = output(dyad_key_cache_bytes(groups, dimension, padded));
          int8_t *packed_values = output(dyad_value_cache_bytes(groups, values, padded));
          // The runtime's caches begin as zeros, and so does the padding of their channels.
          memset(packed_keys, 0, dyad_key_cache_bytes(groups, dimension, padded));
          memset(packed_values, 0, dyad_value_cache_bytes(groups, values, padded));
          int32_t *sums = output(groups * padded * 4);
          memset(sums, 0, groups * padded * 4);
          const dyad_cache key_cache = {groups, dimension, padded, packed_keys, sums};
          const dyad_cache value_cache = {groups, values, padded, packed_values, NULL};
          const size_t first = columns / 3;  // in two pieces
          kernels->append_keys(&key_cache, keys, first, 0);
          kernels->append_keys(&key_cache, keys + first * groups * dimension, columns - first, first);
          kernels->append_values(&value_cache, rows, first, 0);
          kernels->append_values(&value_cache, rows + first * groups * values, columns - first, first);
          dyad_attention_watch watch = {.tokens = tokens, .context = columns};
          if (watched) {
            watch.scores = output(row * 2);
            watch.capped = output(row * 2);
            watch.masked = output(row * 2);
            watch.probabilities = output(row * 2);
            watch.prefix_weights = output(heads * tokens * prefix * 4);
          }
          uint8_t *y = output(bytes);
          void *scratch = output(dyad_attention_scratch_bytes(&attention, tokens, columns));
          for (size_t part = 0; part < groups; part++)
            kernels->attention(&attention, &key_cache, &value_cache, prefix_values, part, 0, tokens, position, queries, y,
                               scratch, watched ? &watch : NULL);
          if (expected == NULL) {
            expected = y;
            expected_masked = watch.masked;
          }
          agree(expected, y, bytes, "attention", SETS[set]);
          if (watched) agree(expected_masked, watch.masked, row * 2, "masked scores", SETS[set]);
        }
        release();
      }
}

// ---- rows -----------------------------------------------------------------------------------------------------

static void check_rows(void) {
  static const dyad_type kinds[][3] = {
      {DYAD_U8, DYAD_U8, DYAD_U16}, {DYAD_U16, DYAD_U8, DYAD_U8}, {DYAD_U16, DYAD_U16, DYAD_U16}, {DYAD_U8, DYAD_U16, DYAD_U8}};
  static const size_t counts[] = {1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 130, 511};
  for (size_t index = 0; index < sizeof counts / sizeof *counts; index++)
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
      const size_t count = counts[index];
      const dyad_format left = format(kinds[kind][0]), right = format(kinds[kind][1]), out = format(kinds[kind][2]);
      const void *a = input(count * width(left.type)), *b = input(count * width(right.type));
      dyad_binary add = {left, right, out, 1234567891, 987654321, 31}, multiply = add;
      multiply.shift = 38;
      const dyad_requantize requantize = {left, out, {1876543211, 33}};
      int64_t *gains = output(count * 8), *biases = output(count * 8);
      for (size_t i = 0; i < count; i++) {
        gains[i] = between(-INT32_MAX, INT32_MAX);
        biases[i] = between(-(1 << 22), 1 << 22);
      }
      dyad_normalization norm = {count, left, out, 3, gains, 25, 55, NULL}, layer = norm;
      layer.biases = biases;
      const void *table = filled((left.type == DYAD_U8 ? 256 : 65536) * width(out.type));
      const size_t bytes = count * width(out.type);
      void *expected[6] = {NULL};
      for (int set = 0; set < SET_COUNT; set++) {
        const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
        if (kernels == NULL) continue;
        void *y[6];
        for (int i = 0; i < 6; i++) y[i] = output(bytes);
        kernels->add(&add, a, b, count, y[0]);
        kernels->multiply(&multiply, a, b, count, y[1]);
        kernels->requantize(&requantize, a, count, y[2]);
        kernels->rms_norm(&norm, a, 1, y[3]);
        kernels->layer_norm(&layer, a, 1, y[4]);
        kernels->lookup(table, left.type, out.type, a, count, y[5]);
        for (int i = 0; i < 6; i++) {
          static const char *const names[] = {"add", "multiply", "requantize", "rms_norm", "layer_norm", "lookup"};
          if (expected[i] == NULL) expected[i] = y[i];
          agree(expected[i], y[i], bytes, names[i], SETS[set]);
        }
      }
      release();
    }
}

static void check_soft_cap(void) {
  for (int wide = 0; wide < 2; wide++)
    for (size_t count = 1; count < 1200; count += 97) {
      const dyad_format kind = wide ? (dyad_format){DYAD_I32, 0} : format(DYAD_U16);
      const dyad_soft_cap cap = {kind, kind, {INT32_MAX, wide ? 30 : 16}, {1 << 30, wide ? 39 : 45}, tangents};
      const size_t bytes = count * width(kind.type);
      const void *x = input(bytes);
      void *expected = NULL;
      for (int set = 0; set < SET_COUNT; set++) {
        const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
        if (kernels == NULL) continue;
        void *y = output(bytes);
        kernels->soft_cap(&cap, x, count, y);
        if (expected == NULL) expected = y;
        agree(expected, y, bytes, "soft_cap", SETS[set]);
      }
      release();
    }
}

static void check_rotary(void) {
  static const size_t shapes[][3] = {{1, 2, 2}, {2, 6, 4}, {3, 20, 20}, {2, 64, 32}, {1, 34, 34}};
  for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
    const size_t heads = shapes[shape][0], dimension = shapes[shape][1], half = shapes[shape][2] / 2;
    const size_t positions = 9, position = 4, rows = positions - position;
    int16_t *cosine = output(positions * half * 2), *sine = output(positions * half * 2);
    for (size_t i = 0; i < positions * half; i++) {
      cosine[i] = (int16_t)between(-16384, 16384);
      sine[i] = (int16_t)between(-16384, 16384);
    }
    const dyad_rotary rotary = {heads, dimension, 2 * half, cosine, sine, format(DYAD_U8), format(DYAD_U8), {1 << 30, 44}};
    const size_t bytes = rows * heads * dimension;
    const void *x = input(bytes);
    void *expected = NULL;
    for (int set = 0; set < SET_COUNT; set++) {
      const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
      if (kernels == NULL) continue;
      void *y = output(bytes);
      kernels->rotary(&rotary, x, rows, position, y);
      if (expected == NULL) expected = y;
      agree(expected, y, bytes, "rotary", SETS[set]);
    }
    release();
  }
}

static void check_hadamard(void) {
  static const size_t shapes[][3] = {{1, 1, 3}, {1, 16, 2}, {12, 2, 1}, {12, 8, 2}, {20, 4, 1}, {1, 64, 1}};  // base, power, blocks
  for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
    const size_t order = shapes[shape][0], power = shapes[shape][1], columns = order * power * shapes[shape][2], rows = 3;
    int8_t *base = output(order * order);
    for (size_t i = 0; i < order * order; i++) base[i] = draw() & 1 ? 1 : -1;
    const dyad_hadamard hadamard = {columns, order, power, base, format(DYAD_U16)};
    const void *x = input(rows * columns * 2), *left = input(rows * columns), *right = input(rows * columns);
    const dyad_gated_hadamard gated = {
        .multiply = {format(DYAD_U8), format(DYAD_U8), format(DYAD_U16), 1234567891, 0, 30},
        .hadamard = hadamard, .requantize = {{DYAD_I32, 0}, format(DYAD_U8), {1 << 30, 40}}};
    void *expected = NULL, *expected_gated = NULL;
    for (int set = 0; set < SET_COUNT; set++) {
      const dyad_kernels *kernels = dyad_kernels_named(SETS[set]);
      if (kernels == NULL) continue;
      int32_t *y = output(rows * columns * 4);
      uint8_t *z = output(rows * columns);
      kernels->hadamard(&hadamard, x, rows, y, output(columns * 4));
      kernels->gated_hadamard(&gated, left, right, rows, z, output(2 * columns * 4));
      if (expected == NULL) {
        expected = y;
        expected_gated = z;
      }
      agree(expected, y, rows * columns * 4, "hadamard", SETS[set]);
      agree(expected_gated, z, rows * columns, "gated_hadamard", SETS[set]);
    }
    release();
  }
}

// ---- the pool -------------------------------------------------------------------------------------------------

typedef struct {
  const dyad_kernels *kernels;
  const linear_case *c;
  void *y;
  void **scratch;    // one a worker
  size_t *counts;    // one a worker, without locks: two tasks at once on a worker are a race
  uint8_t *isDone;   // one a task
} job;

static void task_of_linear(void *context, size_t task, size_t worker) {
  const job *own = context;
  own->counts[worker]++;
  own->isDone[task]++;
  own->kernels->linear(&own->c->linear, own->c->x, own->c->rows, task, 1, own->y, own->scratch[worker]);
}

static void run_jobs(dyad_pool *pool, size_t threads, const job *shared, size_t jobs) {
  for (size_t round = 0; round < jobs; round++) {
    const size_t blocks = shared->c->blocks;
    memset(shared->isDone, 0, blocks);
    dyad_pool_run(pool, blocks, task_of_linear, (void *)shared);
    for (size_t block = 0; block < blocks; block++)
      if (shared->isDone[block] != 1) {
        fprintf(stderr, "check: task %zu of %zu was done %d times by %zu threads\n", block, blocks, shared->isDone[block], threads);
        exit(1);
      }
    // Long enough now and then for workers to fall asleep.
    if (round % 16 == 0) usleep(300);
  }
}

typedef struct {
  dyad_pool *pool;
  size_t threads;
  job *own;
} caller;

static void *call(void *argument) {
  const caller *own = argument;
  run_jobs(own->pool, own->threads, own->own, 40);
  return NULL;
}

static void check_pool(void) {
  const linear_case c = make_linear(34, 200, 3, 8, DYAD_U16, DYAD_U8);
  const size_t bytes = c.rows * c.linear.outputs;
  void *expected = output(bytes), *scratch = output(dyad_linear_scratch_bytes(&c.linear, c.rows));
  dyad_kernels_best()->linear(&c.linear, c.x, c.rows, 0, c.blocks, expected, scratch);
  void *workers[4];
  for (int i = 0; i < 4; i++) workers[i] = output(dyad_linear_scratch_bytes(&c.linear, c.rows));
  size_t counts[4] = {0};
  job one = {dyad_kernels_best(), &c, output(bytes), workers, counts, output(c.blocks)};
  for (size_t threads = 1; threads <= 4; threads++)
    for (int start = 0; start < 12; start++) {
      dyad_pool *pool = dyad_pool_create(threads);
      if (pool == NULL) abort();
      run_jobs(pool, threads, &one, start % 3 == 0 ? 0 : 60);
      if (start % 3 != 0) agree(expected, one.y, bytes, "linear by the pool", "it");
      dyad_pool_destroy(pool);
    }
  // Two callers at once: one job after the other. They share the scratch memory of the workers.
  dyad_pool *pool = dyad_pool_create(3);
  if (pool == NULL) abort();
  job two = one;
  two.y = output(bytes);
  two.isDone = output(c.blocks);
  caller callers[2] = {{pool, 3, &one}, {pool, 3, &two}};
  pthread_t other;
  if (pthread_create(&other, NULL, call, &callers[1]) != 0) abort();
  call(&callers[0]);
  pthread_join(other, NULL);
  agree(expected, two.y, bytes, "linear of two callers", "the pool");
  dyad_pool_destroy(pool);
  release();
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "kernels") == 0) {
    check_linear();
    check_embed();
    fill_tangents();
    check_attention();
    check_soft_cap();
    check_rows();
    check_rotary();
    check_hadamard();
  } else if (count == 2 && strcmp(arguments[1], "pool") == 0) {
    check_pool();
  } else {
    fprintf(stderr, "check: name what to check: kernels or pool\n");
    return 64;
  }
  int sets = 0;
  for (int set = 0; set < SET_COUNT; set++) sets += dyad_kernels_named(SETS[set]) != NULL;
  printf("check: %s: nothing found, %d sets of kernels\n", arguments[1], sets);
  return 0;
}
