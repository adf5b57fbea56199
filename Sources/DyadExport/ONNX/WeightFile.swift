import DyadFormats
import DyadGraph

/// The bytes that several graphs of one export share, in one file.
struct WeightFile {
    /// Aligned so that a loader can map the file and use the numbers where they are.
    private static let alignment = 64

    private var positions: [String: (offset: Int, data: ConstantData)] = [:]
    private var order: [(offset: Int, data: ConstantData)] = []
    private(set) var count = 0

    /// Where the bytes of a constant stand; a constant of the same name and bytes is stored once.
    mutating func position(of name: String, _ data: ConstantData) -> Int {
        var key = name
        while let known = positions[key] {
            if known.data == data { return known.offset }
            key += "'"
        }
        let offset = (count + Self.alignment - 1) / Self.alignment * Self.alignment
        positions[key] = (offset, data)
        order.append((offset, data))
        count = offset + data.count
        return offset
    }

    /// Writes the file beside `path` and renames it.
    func write(to path: String) throws(DyadError) {
        try AtomicFile.write(path, expectedBytes: count) { (sink) throws(DyadError) in
            for (offset, data) in order {
                try sink.writeZeros(offset - sink.count)
                try data.write(to: sink)
            }
        }
    }
}
