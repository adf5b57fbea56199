import CDyadKernels
import DyadFormats
import DyadGraph

/// The packed memory of one cache in one session.
///
/// A cache is read as keys, as values, or (rarely) as both; each reading has a layout of its own.
struct CacheMemory: @unchecked Sendable {
    let keys: dyad_cache?
    let values: dyad_cache?
    private let memory: [AlignedMemory]

    /// Memory for `columns` columns (rounded up to 64) of `state`.
    init(_ state: CacheState, columns: Int, asKeys: Bool, asValues: Bool) throws(DyadError) {
        let padded = (columns + 63) / 64 * 64
        let (heads, dimension) = (state.keyValueHeads, state.headDimension)
        var memory: [AlignedMemory] = []
        if asKeys {
            let packed = try AlignedMemory(
                byteCount: dyad_key_cache_bytes(heads, dimension, padded), subject: state.name)
            let sums = try AlignedMemory(
                byteCount: heads * padded * MemoryLayout<Int32>.stride, subject: state.name)
            keys = dyad_cache(
                heads: heads, dimension: dimension, columns: padded, packed: packed.elements(Int8.self),
                sums: sums.elements(Int32.self))
            memory += [packed, sums]
        } else {
            keys = nil
        }
        if asValues {
            let packed = try AlignedMemory(
                byteCount: dyad_value_cache_bytes(heads, dimension, padded), subject: state.name)
            values = dyad_cache(
                heads: heads, dimension: dimension, columns: padded, packed: packed.elements(Int8.self), sums: nil)
            memory += [packed]
        } else {
            values = nil
        }
        self.memory = memory
    }

    /// Bytes held.
    var byteCount: Int { memory.reduce(0) { $0 + $1.byteCount } }

    /// Bytes that such a cache holds.
    static func byteCount(_ state: CacheState, columns: Int, asKeys: Bool, asValues: Bool) -> Int {
        let padded = (columns + 63) / 64 * 64
        let (heads, dimension) = (state.keyValueHeads, state.headDimension)
        let keys = dyad_key_cache_bytes(heads, dimension, padded) + heads * padded * MemoryLayout<Int32>.stride
        return (asKeys ? keys : 0) + (asValues ? dyad_value_cache_bytes(heads, dimension, padded) : 0)
    }

    /// Packs rows `[count, heads · dimension]`, u8 with zero point 128, into the columns from `column` on.
    func append(_ rows: UnsafePointer<UInt8>, count: Int, at column: Int, kernels: UnsafePointer<dyad_kernels>) {
        if let keys { withUnsafePointer(to: keys) { kernels.pointee.append_keys($0, rows, count, column) } }
        if let values { withUnsafePointer(to: values) { kernels.pointee.append_values($0, rows, count, column) } }
    }
}

/// `cacheAppend`: the step's keys or values into their columns.
struct CacheAppendOperation: PlannedOperation {
    let name: String
    let input: TensorID
    let cache: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [] }

    func run(_ frame: Frame) {
        frame.caches[cache].append(
            frame.pointer(input).assumingMemoryBound(to: UInt8.self), count: frame.rows, at: frame.column,
            kernels: frame.kernels)
    }
}
