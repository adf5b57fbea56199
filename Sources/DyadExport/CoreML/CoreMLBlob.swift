import DyadFormats
import DyadGraph

/// Core ML's weight file: a header, and for every tensor 64 bytes that describe it and its bytes, each at a multiple of 64.
struct CoreMLBlob {
    private var parts: [(name: String, type: UInt32, data: ConstantData)] = []
    private static let alignment = 64
    private(set) var count = 64

    private static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    /// The number of a type in the weight file.
    private static func code(_ type: CoreMLDataType) -> UInt32 {
        switch type {
        case .float16: 1
        case .float32: 2
        case .uint8: 3
        case .int4: 8
        default: 4
        }
    }

    /// Where the description of the new tensor stands.
    mutating func add(_ data: ConstantData, _ type: CoreMLDataType, of name: String) -> Int {
        defer { count += Self.alignment + Self.padded(data.count) }
        parts.append((name, Self.code(type), data))
        return count
    }

    /// The numbers as bytes, filled up with zeros.
    private static func block(_ words: [UInt32]) -> [UInt8] {
        let bytes = words.withUnsafeBytes { Array($0) }
        return bytes + [UInt8](repeating: 0, count: alignment - bytes.count)
    }

    /// What stands in front of all tensors: their number, and the version of the format.
    private var head: [UInt8] { Self.block([UInt32(parts.count), 2]) }

    /// What stands in front of a tensor, at `position`: a mark, its type, its size and where its bytes begin.
    private static func head(_ type: UInt32, _ data: ConstantData, at position: Int) -> [UInt8] {
        func halves(_ value: Int) -> [UInt32] { [UInt32(truncatingIfNeeded: value), UInt32(value >> 32)] }
        return block([0xDEAD_BEEF, type] + halves(data.count) + halves(position + alignment))
    }

    /// The first tensor whose bytes, or what is said of them, are others in a file of the same size.
    func firstDifference(from file: UnsafeRawBufferPointer) -> String? {
        guard head.elementsEqual(file[..<Self.alignment]) else { return "the number of tensors" }
        var position = Self.alignment
        for (name, type, data) in parts {
            let start = position + Self.alignment
            let bytes = UnsafeRawBufferPointer(rebasing: file[start..<start + data.count])
            guard Self.head(type, data, at: position).elementsEqual(file[position..<start]),
                data.withUnsafeBytes({ $0.elementsEqual(bytes) })
            else { return name }
            position = start + Self.padded(data.count)
        }
        return nil
    }

    func write(to path: String) throws(DyadError) {
        try AtomicFile.write(path, expectedBytes: count) { (sink) throws(DyadError) in
            try sink.write(head)
            for (_, type, data) in parts {
                try sink.write(Self.head(type, data, at: sink.count))
                try data.write(to: sink)
                try sink.writeZeros(Self.padded(data.count) - data.count)
            }
        }
    }
}
