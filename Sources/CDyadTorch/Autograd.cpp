// Gradients.
#ifdef DYAD_WITH_TORCH

#include "Internal.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

using namespace dyad;

int dyad_torch_backward(
    const DyadTorchTensor *root, const DyadTorchTensor *gradient, bool retainGraph, char **message) {
    return guarded(message, [&] { tensor(root).backward(tensor(gradient), retainGraph); });
}

int dyad_torch_gradient(const DyadTorchTensor *leaf, DyadTorchTensor **result, char **message) {
    return guarded(message, [&] { *result = handle(tensor(leaf).grad()); });
}

int dyad_torch_set_gradient(const DyadTorchTensor *leaf, const DyadTorchTensor *gradient, char **message) {
    return guarded(message, [&] {
        at::Tensor target = tensor(leaf), value = tensor(gradient);
        TORCH_CHECK(
            !value.defined() || (value.sizes() == target.sizes() && value.device() == target.device() &&
                                 value.scalar_type() == target.scalar_type()),
            "a gradient has the shape, dtype and device of its tensor");
        target.mutable_grad() = value;
    });
}

int dyad_torch_set_requires_gradient(const DyadTorchTensor *leaf, bool requiresGradient, char **message) {
    return guarded(message, [&] {
        at::Tensor target = tensor(leaf);
        TORCH_CHECK(
            requiresGradient || target.is_leaf(), "only a leaf can stop requiring a gradient; detach the tensor instead");
        target.requires_grad_(requiresGradient);
    });
}

int dyad_torch_gradients(
    DyadTorchTensor *const *outputs, int32_t outputCount, DyadTorchTensor *const *inputs, int32_t inputCount,
    bool retainGraph, DyadTorchTensor **results, char **message) {
    return guarded(message, [&] {
        std::vector<at::Tensor> from, to;
        for (int32_t index = 0; index < outputCount; ++index) from.push_back(tensor(outputs[index]));
        for (int32_t index = 0; index < inputCount; ++index) to.push_back(tensor(inputs[index]));
        auto gradients = torch::autograd::grad(from, to, {}, retainGraph, false, true);
        for (int32_t index = 0; index < inputCount; ++index) results[index] = handle(std::move(gradients[index]));
    });
}

bool dyad_torch_set_gradient_mode(bool enabled) {
    bool previous = at::GradMode::is_enabled();
    at::GradMode::set_enabled(enabled);
    return previous;
}

#endif
