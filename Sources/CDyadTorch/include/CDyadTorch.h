// libtorch behind a C ABI. Nothing here names a torch type.
//
// Every function that can fail returns a status (dyadTorchOK, ...). When it is not dyadTorchOK and `message` is not
// NULL, *message receives a string for dyad_torch_free_message; no output is written. No C++ exception leaves.
// Handles are counted references: each one received is given back once with its release function.
#ifndef CDYADTORCH_H
#define CDYADTORCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct DyadTorchTensor DyadTorchTensor;
typedef struct DyadTorchGenerator DyadTorchGenerator;

enum {
    dyadTorchOK = 0,
    dyadTorchFailed = 1,
    dyadTorchOutOfMemory = 2,
    dyadTorchBuiltWithoutTorch = 3,
};

// Device types.
enum { dyadTorchCPU = 0, dyadTorchCUDA = 1, dyadTorchMPS = 2 };

// What a DyadTorchValue holds.
enum {
    dyadTorchNone = 0,       // an absent optional
    dyadTorchDefault = 1,    // the default of the operator's schema
    dyadTorchTensor = 2,     // object
    dyadTorchInteger = 3,    // integer
    dyadTorchReal = 4,       // real
    dyadTorchBoolean = 5,    // integer, 0 or 1
    dyadTorchString = 6,     // object: a C string
    dyadTorchDevice = 7,     // integer: device type, count: index
    dyadTorchGenerator = 8,  // object
    dyadTorchIntegers = 9,   // integer: first in the pool of integers, count
    dyadTorchReals = 10,     // integer: first in the pool of reals, count
    dyadTorchTensors = 11,   // integer: first in the pool of tensors, count (NULL: an absent optional)
};

typedef struct {
    int32_t tag;
    int32_t count;
    int64_t integer;
    double real;
    const void *object;
} DyadTorchValue;

// The lists that the arguments of one call refer to.
typedef struct {
    const int64_t *integers;
    const double *reals;
    DyadTorchTensor *const *tensors;
} DyadTorchPools;

// Calls the ATen operator `name` ("aten::add.Tensor"; no dot for the overload without a name) through the dispatcher,
// autograd included. Trailing arguments that are left out take the schema's default. Each returned tensor, or each
// tensor of a returned list, becomes one result. A result beyond `capacity` is an error.
int dyad_torch_call(
    const char *name, const DyadTorchValue *arguments, int32_t count, const DyadTorchPools *pools,
    DyadTorchValue *results, int32_t capacity, int32_t *resultCount, char **message);

void dyad_torch_free_message(char *message);

// `sizes` and `strides` (in elements) belong to the tensor; its shape never changes once made.
typedef struct {
    const int64_t *sizes;
    const int64_t *strides;
    const void *data;  // of the first element; NULL where the device's memory has no address
    int64_t elementCount;
    int32_t rank;
    int32_t elementType;  // c10::ScalarType
    int32_t deviceType;
    int32_t deviceIndex;
    bool contiguous;
    bool requiresGradient;
    bool readOnly;  // memory that dyad_torch_from_memory was told is read-only
} DyadTorchDescription;

int dyad_torch_describe(const DyadTorchTensor *tensor, DyadTorchDescription *description, char **message);
void dyad_torch_release_tensor(DyadTorchTensor *tensor);

// A dense CPU tensor over `data`, not copied. `release(owner)` is called once, on any thread, when no tensor refers to
// the memory any more, and also when this call fails. In-place operators refuse read-only memory.
int dyad_torch_from_memory(
    const void *data, int32_t elementType, const int64_t *sizes, int32_t rank, bool readOnly, void *owner,
    void (*release)(void *owner), DyadTorchTensor **result, char **message);

// Autograd. A NULL gradient stands for the one of a scalar.
int dyad_torch_backward(
    const DyadTorchTensor *tensor, const DyadTorchTensor *gradient, bool retainGraph, char **message);
int dyad_torch_gradient(const DyadTorchTensor *tensor, DyadTorchTensor **result, char **message);
int dyad_torch_set_gradient(const DyadTorchTensor *tensor, const DyadTorchTensor *gradient, char **message);
int dyad_torch_set_requires_gradient(const DyadTorchTensor *tensor, bool requiresGradient, char **message);
// d outputs / d inputs without touching any accumulated gradient; results[i] is NULL where input i was not used.
int dyad_torch_gradients(
    DyadTorchTensor *const *outputs, int32_t outputCount, DyadTorchTensor *const *inputs, int32_t inputCount,
    bool retainGraph, DyadTorchTensor **results, char **message);
// Whether operations on this thread are recorded; returns the previous setting.
bool dyad_torch_set_gradient_mode(bool enabled);

// Random numbers.
int dyad_torch_make_generator(
    int32_t deviceType, int32_t deviceIndex, uint64_t seed, DyadTorchGenerator **result, char **message);
int dyad_torch_generator_state(const DyadTorchGenerator *generator, DyadTorchTensor **result, char **message);
int dyad_torch_set_generator_state(DyadTorchGenerator *generator, const DyadTorchTensor *state, char **message);
void dyad_torch_release_generator(DyadTorchGenerator *generator);
int dyad_torch_seed(uint64_t seed, char **message);

// The machine.
const char *dyad_torch_version(void);  // NULL when built without torch
bool dyad_torch_multiplies_bfloat16(void);  // the CPU has instructions for it
int dyad_torch_set_thread_count(int32_t count, char **message);
int32_t dyad_torch_thread_count(void);
int32_t dyad_torch_device_count(int32_t deviceType);

// y = scale · (clamp(round(x / scale) + zeroPoint, minimum, maximum) − zeroPoint) with round(v) = floor(v + 1/2) and
// the gradients of LSQ (see FakeQuantize.cpp). `zeroPoint` may be NULL (0). `axis` −1: scale has one element;
// else scale (and zeroPoint) are vectors along that axis.
int dyad_torch_fake_quantize(
    const DyadTorchTensor *x, const DyadTorchTensor *scale, const DyadTorchTensor *zeroPoint, int64_t minimum,
    int64_t maximum, int32_t axis, double gradientFactor, DyadTorchTensor **result, char **message);

// Counts of `bins` equal parts of [low, high] over a tensor's elements, as int64 [bins]. Elements outside are counted
// in the first and the last bin, NaN nowhere.
int dyad_torch_histogram(
    const DyadTorchTensor *x, int32_t bins, double low, double high, DyadTorchTensor **result, char **message);
// The smallest and the largest element, NaN when any element is NaN. An error for an empty tensor.
int dyad_torch_extrema(const DyadTorchTensor *x, double *minimum, double *maximum, char **message);

#ifdef __cplusplus
}
#endif

#endif
