import DyadGraph

/// Small changes of a program that validation mostly refuses; what it accepts must still run the same everywhere.
enum ProgramMutation {
    /// Changes nothing in two programs of three.
    static func apply(to program: inout IntegerProgram, from source: inout ByteSource) {
        guard source.oneIn(3) else { return }
        for _ in 0...source.choose(2) { mutate(&program.graph, &source) }
    }

    private static func mutate(_ graph: inout IntegerGraph, _ source: inout ByteSource) {
        let (tensor, operation) = (source.choose(graph.tensors.count), source.choose(graph.operations.count))
        switch source.choose(9) {
        case 0: graph.operations.swapAt(operation, source.choose(graph.operations.count))
        case 1: graph.tensors[tensor].encoding.scale *= source.pick([0.5, 1e-9, 1e9, -1, .infinity])
        case 2: graph.tensors[tensor].encoding.zeroPoint = source.pick([0, 128, 255, 32768, -1])
        case 3: graph.tensors[tensor].type = source.pick([.u8, .u16, .i32, .u32])
        case 4: graph.tensors[tensor].shape = graph.tensors[source.choose(graph.tensors.count)].shape
        case 5: graph.operations[operation].kind = graph.operations[operation].kind.redirected(tensor)
        case 6: graph.operations.remove(at: operation)
        case 7: graph.maximumContext = source.pick([1, graph.maximumContext + 1, 70000, 1 << 40, -1])
        default:
            guard !graph.caches.isEmpty else { return }
            let cache = source.choose(graph.caches.count)
            switch source.choose(3) {
            case 0: graph.caches[cache].keyValueHeads = source.pick([1, 2, 0, 1 << 19, .max])
            case 1: graph.caches[cache].headDimension = source.pick([1, 2, 0, 1 << 14, .max])
            default: graph.caches[cache].encoding.scale *= 2
            }
        }
    }
}

extension Operation.Kind {
    /// The same operation on another input.
    fileprivate func redirected(_ tensor: TensorID) -> Self {
        switch self {
        case .embed: return self
        case .rmsNorm(var o):
            o.input = tensor
            return .rmsNorm(o)
        case .layerNorm(var o):
            o.input = tensor
            return .layerNorm(o)
        case .linear(var o):
            o.input = tensor
            return .linear(o)
        case .logits(var o):
            o.input = tensor
            return .logits(o)
        case .rotary(var o):
            o.input = tensor
            return .rotary(o)
        case .cacheAppend(var o):
            o.input = tensor
            return .cacheAppend(o)
        case .matmul(var o):
            o.input = tensor
            return .matmul(o)
        case .softCap(var o):
            o.input = tensor
            return .softCap(o)
        case .mask(var o):
            o.input = tensor
            return .mask(o)
        case .softmax(var o):
            o.input = tensor
            return .softmax(o)
        case .exponential(var o):
            o.input = tensor
            return .exponential(o)
        case .lateAttention(var o):
            o.exponentials = tensor
            return .lateAttention(o)
        case .lookup(var o):
            o.input = tensor
            return .lookup(o)
        case .multiply(var o):
            o.right = tensor
            return .multiply(o)
        case .add(var o):
            o.left = tensor
            return .add(o)
        case .requantize(var o):
            o.input = tensor
            return .requantize(o)
        case .hadamard(var o):
            o.input = tensor
            return .hadamard(o)
        case .concatenate(var o):
            o.inputs.append(tensor)
            return .concatenate(o)
        case .slice(var o):
            o.input = tensor
            return .slice(o)
        }
    }
}
