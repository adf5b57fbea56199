import CDyadTorch
import DyadFormats

/// An argument of an ATen operator.
public enum TensorArgument {
    /// An absent optional.
    case none
    /// The default of the operator's schema.
    case standard
    case tensor(Tensor)
    /// A tensor, or an absent optional.
    case optional(Tensor?)
    case int(Int)
    case double(Double)
    case bool(Bool)
    case string(StaticString)
    case ints([Int])
    case doubles([Double])
    case tensors([Tensor])
    case optionals([Tensor?])
    case dtype(DType?)
    case device(Device)
    case generator(Generator?)

    /// A number, or an absent optional.
    static func scalar(_ value: (some TensorScalar)?) -> TensorArgument { value?.tensorArgument ?? .none }
    /// An integer, or an absent optional.
    static func optionalInt(_ value: Int?) -> TensorArgument { value.map { .int($0) } ?? .none }
    /// A list, or an absent optional.
    static func optionalInts(_ value: [Int]?) -> TensorArgument { value.map { .ints($0) } ?? .none }
}

/// The lists that the arguments of one call refer to.
private struct Pools {
    var integers: [Int64] = []
    var reals: [Double] = []
    var tensors: [OpaquePointer?] = []

    mutating func box(_ argument: TensorArgument) -> DyadTorchValue {
        switch argument {
        case .none, .optional(.none), .generator(.none), .dtype(.none): value(dyadTorchNone)
        case .standard: value(dyadTorchDefault)
        case .tensor(let tensor), .optional(.some(let tensor)):
            value(dyadTorchTensor, object: UnsafeRawPointer(tensor.handle))
        case .int(let number): value(dyadTorchInteger, integer: number)
        case .double(let number):
            DyadTorchValue(
                tag: Int32(dyadTorchReal), count: 0, integer: 0, real: number, object: nil)
        case .bool(let truth): value(dyadTorchBoolean, integer: truth ? 1 : 0)
        case .string(let text): value(dyadTorchString, object: UnsafeRawPointer(text.utf8Start))
        case .dtype(.some(let dtype)): value(dyadTorchInteger, integer: Int(dtype.rawValue))
        case .device(let device):
            value(dyadTorchDevice, count: device.index, integer: Int(device.type))
        case .generator(.some(let generator)):
            value(dyadTorchGenerator, object: UnsafeRawPointer(generator.handle))
        case .ints(let list):
            append(list.lazy.map { Int64($0) }, to: \.integers, tag: dyadTorchIntegers)
        case .doubles(let list): append(list, to: \.reals, tag: dyadTorchReals)
        case .tensors(let list):
            append(list.lazy.map { Optional($0.handle) }, to: \.tensors, tag: dyadTorchTensors)
        case .optionals(let list):
            append(list.lazy.map { $0?.handle }, to: \.tensors, tag: dyadTorchTensors)
        }
    }

    private func value(
        _ tag: Int, count: Int = 0, integer: Int = 0, object: UnsafeRawPointer? = nil
    ) -> DyadTorchValue {
        DyadTorchValue(
            tag: Int32(tag), count: Int32(truncatingIfNeeded: count), integer: Int64(integer), real: 0, object: object)
    }

    private mutating func append<Element>(
        _ list: some Collection<Element>, to pool: WritableKeyPath<Pools, [Element]>, tag: Int
    ) -> DyadTorchValue {
        let start = self[keyPath: pool].count
        self[keyPath: pool].append(contentsOf: list)
        return value(tag, count: list.count, integer: start)
    }
}

/// What an operator returned.
enum TensorResult {
    case tensor(OpaquePointer?)
    case int(Int)
    case double(Double)
    case bool(Bool)

    init(_ value: DyadTorchValue) {
        switch Int(value.tag) {
        case dyadTorchInteger: self = .int(Int(value.integer))
        case dyadTorchReal: self = .double(value.real)
        case dyadTorchBoolean: self = .bool(value.integer != 0)
        default: self = .tensor(value.object.map { OpaquePointer($0) })
        }
    }
}

extension Tensor {
    /// Calls an ATen operator that returns one tensor, by its name with overload (`"aten::add.Tensor"`), through
    /// libtorch's dispatcher, so that autograd and every device work. Arguments come in the order of the operator's
    /// schema (native_functions.yaml); trailing ones that are left out take their defaults.
    public static func call(_ name: StaticString, _ arguments: TensorArgument...) throws(DyadError) -> Tensor {
        let results = try results(of: name, arguments, capacity: 1)
        guard case .tensor(.some(let handle))? = results.first else { throw unexpected(name) }
        return try Tensor(owning: handle)
    }

    /// As `call`, for an operator that returns several tensors or a list of them, `count` in all.
    public static func callMany(
        _ name: StaticString, results count: Int, _ arguments: TensorArgument...
    ) throws(DyadError) -> [Tensor] {
        let results = try results(of: name, arguments, capacity: count)
        var tensors: [Tensor] = []
        // Every handle must find an owner even when one of them is refused.
        var refused: DyadError?
        for case .tensor(.some(let handle)) in results {
            do { tensors.append(try Tensor(owning: handle)) } catch { refused = error }
        }
        if let refused { throw refused }
        guard tensors.count == count else { throw unexpected(name) }
        return tensors
    }

    /// As `call`, for an operator whose result is not wanted: it changes its argument in place.
    public static func callInPlace(_ name: StaticString, _ arguments: TensorArgument...) throws(DyadError) {
        for case .tensor(.some(let handle)) in try results(of: name, arguments, capacity: 1) {
            dyad_torch_release_tensor(handle)
        }
    }

    static func unexpected(_ name: StaticString) -> DyadError {
        DyadError(
            .failed, subject: "\(name)", found: "results of another kind or number", expected: "what its caller reads",
            remedy: "Link the libtorch version that Dyad was built for.")
    }

    static func results(
        of name: StaticString, _ arguments: [TensorArgument], capacity: Int
    ) throws(DyadError) -> [TensorResult] {
        var results: [TensorResult] = []
        var message: UnsafeMutablePointer<CChar>?
        let status = withExtendedLifetime(arguments) {
            withUnsafeTemporaryAllocation(of: DyadTorchValue.self, capacity: arguments.count + capacity) { values in
                var pools = Pools()
                for (index, argument) in arguments.enumerated() {
                    values.initializeElement(at: index, to: pools.box(argument))
                }
                let output = values.baseAddress.map { $0 + arguments.count }
                var count: Int32 = 0
                let status = pools.integers.withUnsafeBufferPointer { integers in
                    pools.reals.withUnsafeBufferPointer { reals in
                        pools.tensors.withUnsafeBufferPointer { tensors in
                            var lists = DyadTorchPools(
                                integers: integers.baseAddress, reals: reals.baseAddress, tensors: tensors.baseAddress)
                            return name.withUTF8Buffer { text in
                                text.withMemoryRebound(to: CChar.self) { text in
                                    dyad_torch_call(
                                        text.baseAddress, values.baseAddress, Int32(arguments.count), &lists, output,
                                        Int32(capacity), &count, &message)
                                }
                            }
                        }
                    }
                }
                for index in 0..<Int(count) { results.append(TensorResult(values[arguments.count + index])) }
                return status
            }
        }
        if status != 0 { throw failure(status, message, subject: "\(name)") }
        return results
    }
}
