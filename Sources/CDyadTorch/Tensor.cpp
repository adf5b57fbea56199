// Handles, memory, generators, threads and devices.
#ifdef DYAD_WITH_TORCH

#include "Internal.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <torch/headeronly/version.h>

#include <dlfcn.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <stdlib.h>

#include <mutex>

namespace {

/// Lets libtorch's CPU allocator ask for huge pages, before its first allocation and unless the user decided. Fresh
/// pages dominate large elementwise operations: without it a copy of 200 MB takes five times as long (measured).
[[maybe_unused]] const int hugePages = setenv("THP_MEM_ALLOC_ENABLE", "1", 0);

#if defined(__GLIBC__)
/// Lets malloc keep what tensors gave back, where by default it returns such memory to the kernel and gets it again page
/// by page, cleared: a fifth of the time of a learning step (measured).
[[maybe_unused]] const bool keptMemory = mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1;
#endif

struct Memory {
    void *owner;
    void (*release)(void *owner);
};

void releaseWritable(void *context) {
    auto *memory = static_cast<Memory *>(context);
    if (memory->release != nullptr) memory->release(memory->owner);
    delete memory;
}

// A function of its own: its address marks storage that must not be written.
void releaseReadOnly(void *context) {
    releaseWritable(context);
}

using GeneratorReference = c10::intrusive_ptr<c10::GeneratorImpl>;

at::Generator generator(const DyadTorchGenerator *handle) {
    auto *implementation = reinterpret_cast<c10::GeneratorImpl *>(const_cast<DyadTorchGenerator *>(handle));
    return at::Generator(GeneratorReference::reclaim_copy(implementation));
}

/// Nothing in the shim names a symbol of libtorch_cuda, so the linker does not record it; loading it registers CUDA.
void loadCUDA() {
    static std::once_flag once;
    std::call_once(once, [] {
        if (!at::hasCUDA()) dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    });
}

}  // namespace

namespace dyad {

bool isReadOnly(const at::Tensor &tensor) {
    return tensor.defined() && tensor.has_storage() &&
           tensor.storage().data_ptr().get_deleter() == &releaseReadOnly;
}

c10::Device device(int32_t type, int64_t index) {
    TORCH_CHECK(
        index >= 0 && index < dyad_torch_device_count(type), "device ",
        type == dyadTorchCUDA  ? "cuda:"
        : type == dyadTorchMPS ? "mps:"
                               : "cpu:",
        index, " is not available on this machine or in this build of libtorch");
    switch (type) {
    case dyadTorchCUDA: return c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
    case dyadTorchMPS: return c10::Device(c10::DeviceType::MPS, static_cast<c10::DeviceIndex>(index));
    default: return c10::Device(c10::DeviceType::CPU);
    }
}

}  // namespace dyad

using namespace dyad;

void dyad_torch_free_message(char *message) {
    free(message);
}

int dyad_torch_describe(const DyadTorchTensor *handle, DyadTorchDescription *description, char **message) {
    return guarded(message, [&] {
        at::Tensor value = tensor(handle);
        TORCH_CHECK(value.defined(), "the tensor is undefined");
        auto type = value.device().type();
        TORCH_CHECK(
            type == c10::DeviceType::CPU || type == c10::DeviceType::CUDA || type == c10::DeviceType::MPS,
            "device ", value.device(), " is not one that Dyad handles");
        DyadTorchDescription result = {};
        result.sizes = value.sizes().data();
        result.strides = value.strides().data();
        result.data = value.has_storage() ? value.const_data_ptr() : nullptr;
        result.elementCount = value.numel();
        result.rank = static_cast<int32_t>(value.dim());
        result.elementType = static_cast<int32_t>(value.scalar_type());
        result.deviceType = type == c10::DeviceType::CUDA  ? dyadTorchCUDA
                            : type == c10::DeviceType::MPS ? dyadTorchMPS
                                                           : dyadTorchCPU;
        result.deviceIndex = value.device().has_index() ? value.device().index() : 0;
        result.contiguous = value.is_contiguous();
        result.requiresGradient = value.requires_grad();
        result.readOnly = isReadOnly(value);
        *description = result;
    });
}

void dyad_torch_release_tensor(DyadTorchTensor *handle) {
    TensorReference::reclaim(reinterpret_cast<at::TensorImpl *>(handle));
}

int dyad_torch_from_memory(
    const void *data, int32_t elementType, const int64_t *sizes, int32_t rank, bool readOnly, void *owner,
    void (*release)(void *owner), DyadTorchTensor **result, char **message) {
    auto *memory = new (std::nothrow) Memory{owner, release};
    if (memory == nullptr) {
        if (release != nullptr) release(owner);
        return report(dyadTorchOutOfMemory, message, "out of memory");
    }
    return guarded(message, [&] {
        // The maker owns `memory` from here on, and releases it when making the tensor throws.
        *result = handle(
            at::for_blob(const_cast<void *>(data), at::IntArrayRef(sizes, rank))
                .context(memory, readOnly ? &releaseReadOnly : &releaseWritable)
                .options(at::TensorOptions(static_cast<c10::ScalarType>(elementType)).device(c10::kCPU))
                .target_device(c10::Device(c10::kCPU))
                .make_tensor());
    });
}

int dyad_torch_make_generator(
    int32_t deviceType, int32_t deviceIndex, uint64_t seed, DyadTorchGenerator **result, char **message) {
    return guarded(message, [&] {
        at::Generator made = at::globalContext().defaultGenerator(device(deviceType, deviceIndex)).clone();
        made.set_current_seed(seed);
        *result = reinterpret_cast<DyadTorchGenerator *>(made.unsafeReleaseGeneratorImpl());
    });
}

int dyad_torch_generator_state(const DyadTorchGenerator *handle_, DyadTorchTensor **result, char **message) {
    return guarded(message, [&] {
        at::Generator source = generator(handle_);
        std::lock_guard<std::mutex> lock(source.mutex());
        *result = handle(source.get_state());
    });
}

int dyad_torch_set_generator_state(DyadTorchGenerator *handle_, const DyadTorchTensor *state, char **message) {
    return guarded(message, [&] {
        at::Generator target = generator(handle_);
        std::lock_guard<std::mutex> lock(target.mutex());
        target.set_state(tensor(state));
    });
}

void dyad_torch_release_generator(DyadTorchGenerator *handle) {
    GeneratorReference::reclaim(reinterpret_cast<c10::GeneratorImpl *>(handle));
}

int dyad_torch_seed(uint64_t seed, char **message) {
    return guarded(message, [&] { at::manual_seed(seed); });
}

const char *dyad_torch_version(void) {
    return TORCH_VERSION;
}

bool dyad_torch_multiplies_bfloat16(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__) && defined(__linux__)
    return (getauxval(AT_HWCAP2) & (1ul << 14)) != 0;  // HWCAP2_BF16
#elif defined(__aarch64__) && defined(__APPLE__)
    int32_t present = 0;
    size_t size = sizeof present;
    return sysctlbyname("hw.optional.arm.FEAT_BF16", &present, &size, nullptr, 0) == 0 && present != 0;
#else
    return false;
#endif
}

int dyad_torch_set_thread_count(int32_t count, char **message) {
    return guarded(message, [&] {
        TORCH_CHECK(count >= 1 && count <= 1024, "thread count ", count, " is not in 1 ... 1024");
        at::set_num_threads(count);
    });
}

int32_t dyad_torch_thread_count(void) {
    return at::get_num_threads();
}

int32_t dyad_torch_device_count(int32_t deviceType) {
    int32_t count = 0;
    guarded(nullptr, [&] {
        switch (deviceType) {
        case dyadTorchCPU: count = 1; break;
        case dyadTorchCUDA:
            loadCUDA();
            count = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
            break;
        case dyadTorchMPS: count = at::hasMPS() ? 1 : 0; break;
        default: break;
        }
    });
    return count;
}

#endif
