// One call for every ATen operator: by name, with boxed arguments, through the dispatcher.
#ifdef DYAD_WITH_TORCH

#include "Internal.h"

#include <ATen/core/Generator.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using namespace dyad;

/// What one parameter of an operator takes. The dispatcher converts nothing and would fail far from the mistake, so
/// arguments are converted and checked here against the schema.
struct Parameter {
    enum class Kind { tensor, integer, real, number, boolean, string, device, generator, integers, reals, tensors,
                      optionalTensors, other };
    Kind kind = Kind::other;
    bool optional = false;
    bool written = false;
    std::string name;
    std::optional<c10::IValue> initial;
};

struct Operator {
    c10::OperatorHandle handle;
    std::vector<Parameter> parameters;
};

Parameter::Kind kindOf(const c10::Type &type) {
    using Kind = Parameter::Kind;
    switch (type.kind()) {
    case c10::TypeKind::TensorType: return Kind::tensor;
    case c10::TypeKind::IntType: return Kind::integer;
    case c10::TypeKind::FloatType: return Kind::real;
    case c10::TypeKind::NumberType: return Kind::number;
    case c10::TypeKind::BoolType: return Kind::boolean;
    case c10::TypeKind::StringType: return Kind::string;
    case c10::TypeKind::DeviceObjType: return Kind::device;
    case c10::TypeKind::GeneratorType: return Kind::generator;
    case c10::TypeKind::ListType: {
        const auto &element = *type.castRaw<c10::ListType>()->getElementType();
        switch (element.kind()) {
        case c10::TypeKind::IntType: return Kind::integers;
        case c10::TypeKind::FloatType: return Kind::reals;
        case c10::TypeKind::TensorType: return Kind::tensors;
        case c10::TypeKind::OptionalType: return Kind::optionalTensors;
        default: return Kind::other;
        }
    }
    default: return Kind::other;
    }
}

Operator find(const std::string &name) {
    auto dot = name.find('.');
    std::string base = name.substr(0, dot), overload = dot == std::string::npos ? "" : name.substr(dot + 1);
    auto found = c10::Dispatcher::singleton().findSchema({base, overload});
    TORCH_CHECK(found.has_value(), "libtorch ", dyad_torch_version(), " has no operator ", name);
    Operator result{*found, {}};
    for (const c10::Argument &argument : found->schema().arguments()) {
        Parameter parameter;
        const c10::Type *type = argument.type().get();
        if (type->kind() == c10::TypeKind::OptionalType) {
            parameter.optional = true;
            type = type->castRaw<c10::OptionalType>()->getElementType().get();
        }
        parameter.kind = kindOf(*type);
        parameter.written = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
        parameter.name = argument.name();
        parameter.initial = argument.default_value();
        result.parameters.push_back(std::move(parameter));
    }
    return result;
}

/// The operator of that name. Per thread, so that no lock is needed; the dispatcher's table is global anyway.
const Operator &lookUp(const char *name) {
    thread_local std::unordered_map<std::string_view, std::unique_ptr<Operator>> known;
    thread_local std::vector<std::unique_ptr<std::string>> names;
    auto position = known.find(name);
    if (position != known.end()) return *position->second;
    auto key = std::make_unique<std::string>(name);
    auto made = std::make_unique<Operator>(find(*key));
    std::string_view view = *key;
    names.push_back(std::move(key));
    return *known.emplace(view, std::move(made)).first->second;
}

void refuseReadOnly(const Parameter &parameter, const at::Tensor &value) {
    TORCH_CHECK(
        !parameter.written || !isReadOnly(value), "argument '", parameter.name,
        "' lies in read-only memory (a mapped file) and cannot be changed in place; clone it first");
}

c10::IValue convert(const Parameter &parameter, const DyadTorchValue &value, const DyadTorchPools &pools) {
    using Kind = Parameter::Kind;
    const Kind kind = parameter.kind;
    switch (value.tag) {
    case dyadTorchNone:
        if (parameter.optional) return c10::IValue();
        break;
    case dyadTorchDefault:
        TORCH_CHECK(parameter.initial.has_value(), "argument '", parameter.name, "' has no default");
        return *parameter.initial;
    case dyadTorchTensor:
        if (kind == Kind::tensor) {
            at::Tensor object = tensor(static_cast<const DyadTorchTensor *>(value.object));
            refuseReadOnly(parameter, object);
            return c10::IValue(std::move(object));
        }
        break;
    case dyadTorchInteger:
        if (kind == Kind::integer || kind == Kind::number) return c10::IValue(value.integer);
        if (kind == Kind::real) return c10::IValue(static_cast<double>(value.integer));
        break;
    case dyadTorchReal:
        if (kind == Kind::real || kind == Kind::number) return c10::IValue(value.real);
        break;
    case dyadTorchBoolean:
        if (kind == Kind::boolean || kind == Kind::number) return c10::IValue(value.integer != 0);
        break;
    case dyadTorchString:
        if (kind == Kind::string) return c10::IValue(std::string(static_cast<const char *>(value.object)));
        break;
    case dyadTorchDevice:
        if (kind == Kind::device) return c10::IValue(device(static_cast<int32_t>(value.integer), value.count));
        break;
    case dyadTorchGenerator:
        if (kind == Kind::generator) {
            auto *object = static_cast<c10::GeneratorImpl *>(const_cast<void *>(value.object));
            return c10::IValue(at::Generator(c10::intrusive_ptr<c10::GeneratorImpl>::reclaim_copy(object)));
        }
        break;
    case dyadTorchIntegers:
        if (kind == Kind::integers) return c10::IValue(at::IntArrayRef(pools.integers + value.integer, value.count));
        break;
    case dyadTorchReals:
        if (kind == Kind::reals) {
            return c10::IValue(c10::ArrayRef<double>(pools.reals + value.integer, value.count));
        }
        break;
    case dyadTorchTensors:
        if (kind == Kind::tensors) {
            c10::List<at::Tensor> list;
            list.reserve(value.count);
            for (int32_t index = 0; index < value.count; ++index) {
                at::Tensor object = tensor(pools.tensors[value.integer + index]);
                refuseReadOnly(parameter, object);
                list.push_back(std::move(object));
            }
            return c10::IValue(std::move(list));
        }
        if (kind == Kind::optionalTensors) {
            c10::List<std::optional<at::Tensor>> list;
            list.reserve(value.count);
            for (int32_t index = 0; index < value.count; ++index) {
                const DyadTorchTensor *object = pools.tensors[value.integer + index];
                list.push_back(object == nullptr ? std::optional<at::Tensor>() : tensor(object));
            }
            return c10::IValue(std::move(list));
        }
        break;
    default: break;
    }
    TORCH_CHECK(false, "argument '", parameter.name, "' has the wrong type");
}

/// Boxes the results; tensors already boxed are released when a later one does not fit.
struct Results {
    DyadTorchValue *values;
    int32_t capacity;
    int32_t count = 0;
    bool kept = false;

    void append(const DyadTorchValue &value) {
        values[count] = value;
        count += 1;
    }
    void append(at::Tensor value) {
        TORCH_CHECK(count < capacity, "more than ", capacity, " results");
        append(DyadTorchValue{dyadTorchTensor, 0, 0, 0, handle(std::move(value))});
    }
    void append(c10::IValue &value) {
        TORCH_CHECK(count < capacity, "more than ", capacity, " results");
        if (value.isTensor()) {
            append(std::move(value).toTensor());
        } else if (value.isTensorList()) {
            for (at::Tensor &item : value.toTensorVector()) append(std::move(item));
        } else if (value.isDouble()) {
            append(DyadTorchValue{dyadTorchReal, 0, 0, value.toDouble(), nullptr});
        } else if (value.isInt()) {
            append(DyadTorchValue{dyadTorchInteger, 0, value.toInt(), 0, nullptr});
        } else if (value.isBool()) {
            append(DyadTorchValue{dyadTorchBoolean, 0, value.toBool(), 0, nullptr});
        } else {
            TORCH_CHECK(false, "a result of type ", value.tagKind(), " is not handled");
        }
    }
    ~Results() {
        for (int32_t index = 0; !kept && index < count; ++index) {
            if (values[index].tag != dyadTorchTensor || values[index].object == nullptr) continue;
            dyad_torch_release_tensor(static_cast<DyadTorchTensor *>(const_cast<void *>(values[index].object)));
        }
    }
};

}  // namespace

int dyad_torch_call(
    const char *name, const DyadTorchValue *arguments, int32_t count, const DyadTorchPools *pools,
    DyadTorchValue *results, int32_t capacity, int32_t *resultCount, char **message) {
    return guarded(message, [&] {
        const Operator &found = lookUp(name);
        const size_t arity = found.parameters.size();
        TORCH_CHECK(count >= 0 && static_cast<size_t>(count) <= arity, name, " takes at most ", arity, " arguments");
        std::vector<c10::IValue> stack;
        stack.reserve(arity);
        for (size_t index = 0; index < arity; ++index) {
            const DyadTorchValue omitted = {dyadTorchDefault, 0, 0, 0, nullptr};
            const bool given = index < static_cast<size_t>(count);
            stack.push_back(convert(found.parameters[index], given ? arguments[index] : omitted, *pools));
        }
        found.handle.callBoxed(stack);
        Results boxed{results, capacity};
        for (c10::IValue &value : stack) boxed.append(value);
        boxed.kept = true;
        *resultCount = boxed.count;
    });
}

#endif
