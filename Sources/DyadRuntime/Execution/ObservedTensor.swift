/// One tensor of one step, as the graph stores it.
public struct ObservedTensor: Sendable {
    /// The tensor's name in the graph.
    public let name: String
    /// Its extents in this step.
    public let shape: [Int]
    /// The stored integers, row-major; a u32 keeps its bits.
    public let values: [Int32]

    init(_ tensor: PlannedTensor, rows: Int, columns: Int, memory: UnsafeRawPointer) {
        name = tensor.name
        shape = tensor.extents(rows: rows, columns: columns)
        let count = shape.reduce(1, *)
        switch tensor.storedType {
        case .u8: values = Self.widened(memory, count, as: UInt8.self)
        case .i8, .i4: values = Self.widened(memory, count, as: Int8.self)
        case .u16: values = Self.widened(memory, count, as: UInt16.self)
        case .i16: values = Self.widened(memory, count, as: Int16.self)
        case .i32, .u32: values = Self.widened(memory, count, as: Int32.self)
        }
    }

    private static func widened<Element: FixedWidthInteger>(
        _ memory: UnsafeRawPointer, _ count: Int, as type: Element.Type
    ) -> [Int32] {
        UnsafeBufferPointer(start: memory.assumingMemoryBound(to: type), count: count).map { Int32($0) }
    }
}

extension ObservedTensor {
    /// A tensor whose values were gathered elsewhere.
    init(_ tensor: PlannedTensor, rows: Int, values: [Int32]) {
        name = tensor.name
        shape = tensor.extents(rows: rows, columns: 0)
        self.values = values
    }
}
