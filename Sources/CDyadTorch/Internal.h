// What the files of the shim share: handles to and from torch's counted references, and the exception barrier.
#pragma once

#include "CDyadTorch.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <new>
#include <string>

namespace dyad {

using TensorReference = c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>;

/// A handle is torch's own counted pointer; NULL stands for the undefined tensor.
inline DyadTorchTensor *handle(at::Tensor tensor) {
    if (!tensor.defined()) return nullptr;
    return reinterpret_cast<DyadTorchTensor *>(tensor.unsafeReleaseTensorImpl());
}

inline at::Tensor tensor(const DyadTorchTensor *handle) {
    if (handle == nullptr) return at::Tensor();
    auto *implementation = reinterpret_cast<at::TensorImpl *>(const_cast<DyadTorchTensor *>(handle));
    return at::Tensor(TensorReference::reclaim_copy(implementation));
}

/// Whether the tensor lies in memory that must not be written (a mapped file).
bool isReadOnly(const at::Tensor &tensor);

c10::Device device(int32_t type, int64_t index);

inline int report(int status, char **message, const char *text) noexcept {
    if (message != nullptr) *message = strdup(text);
    return status;
}

/// Runs `body`; whatever it throws becomes a status and a message.
template <class Body> int guarded(char **message, Body body) noexcept {
    try {
        body();
        return dyadTorchOK;
    } catch (const c10::OutOfMemoryError &error) {
        return report(dyadTorchOutOfMemory, message, error.what_without_backtrace());
    } catch (const c10::Error &error) {
        const char *text = error.what_without_backtrace();
        // The CPU allocator throws the plain error class.
        bool memory = strstr(text, "Allocator: ") != nullptr && strstr(text, "memory") != nullptr;
        return report(memory ? dyadTorchOutOfMemory : dyadTorchFailed, message, text);
    } catch (const std::bad_alloc &) {
        return report(dyadTorchOutOfMemory, message, "out of memory");
    } catch (const std::exception &error) {
        return report(dyadTorchFailed, message, error.what());
    } catch (...) {
        return report(dyadTorchFailed, message, "an exception that is not a std::exception");
    }
}

}  // namespace dyad
