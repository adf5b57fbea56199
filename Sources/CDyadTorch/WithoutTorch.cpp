// The shim of a build without the trait `Torch`: it links, and every call says what is missing.
#ifndef DYAD_WITH_TORCH

#include "CDyadTorch.h"

#include <cstdlib>
#include <cstring>

static int refuse(char **message) {
    if (message != nullptr) *message = strdup("builtWithoutTorch");
    return dyadTorchBuiltWithoutTorch;
}

void dyad_torch_free_message(char *message) {
    free(message);
}

int dyad_torch_call(
    const char *, const DyadTorchValue *, int32_t, const DyadTorchPools *, DyadTorchValue *, int32_t, int32_t *,
    char **message) {
    return refuse(message);
}

int dyad_torch_describe(const DyadTorchTensor *, DyadTorchDescription *, char **message) {
    return refuse(message);
}

void dyad_torch_release_tensor(DyadTorchTensor *) {}

int dyad_torch_from_memory(
    const void *, int32_t, const int64_t *, int32_t, bool, void *owner, void (*release)(void *), DyadTorchTensor **,
    char **message) {
    if (release != nullptr) release(owner);
    return refuse(message);
}

int dyad_torch_backward(const DyadTorchTensor *, const DyadTorchTensor *, bool, char **message) {
    return refuse(message);
}

int dyad_torch_gradient(const DyadTorchTensor *, DyadTorchTensor **, char **message) {
    return refuse(message);
}

int dyad_torch_set_gradient(const DyadTorchTensor *, const DyadTorchTensor *, char **message) {
    return refuse(message);
}

int dyad_torch_set_requires_gradient(const DyadTorchTensor *, bool, char **message) {
    return refuse(message);
}

int dyad_torch_gradients(
    DyadTorchTensor *const *, int32_t, DyadTorchTensor *const *, int32_t, bool, DyadTorchTensor **, char **message) {
    return refuse(message);
}

bool dyad_torch_set_gradient_mode(bool) {
    return false;
}

int dyad_torch_make_generator(int32_t, int32_t, uint64_t, DyadTorchGenerator **, char **message) {
    return refuse(message);
}

int dyad_torch_generator_state(const DyadTorchGenerator *, DyadTorchTensor **, char **message) {
    return refuse(message);
}

int dyad_torch_set_generator_state(DyadTorchGenerator *, const DyadTorchTensor *, char **message) {
    return refuse(message);
}

void dyad_torch_release_generator(DyadTorchGenerator *) {}

int dyad_torch_seed(uint64_t, char **message) {
    return refuse(message);
}

const char *dyad_torch_version(void) {
    return nullptr;
}

bool dyad_torch_multiplies_bfloat16(void) {
    return false;
}

int dyad_torch_set_thread_count(int32_t, char **message) {
    return refuse(message);
}

int32_t dyad_torch_thread_count(void) {
    return 1;
}

int32_t dyad_torch_device_count(int32_t) {
    return 0;
}

int dyad_torch_fake_quantize(
    const DyadTorchTensor *, const DyadTorchTensor *, const DyadTorchTensor *, int64_t, int64_t, int32_t, double,
    DyadTorchTensor **, char **message) {
    return refuse(message);
}

int dyad_torch_histogram(const DyadTorchTensor *, int32_t, double, double, DyadTorchTensor **, char **message) {
    return refuse(message);
}

int dyad_torch_extrema(const DyadTorchTensor *, double *, double *, char **message) {
    return refuse(message);
}

#endif
