import DyadFormats
import DyadGraph

/// A value of a FlatBuffers file, and its bytes.
///
/// No library of FlatBuffers is among Swift's packages here, and a file that is only written needs little of the format
/// (https://flatbuffers.dev/internals): tables with their vtables, vectors and strings, all little-endian. Offsets point forwards,
/// so that what refers stands before what it refers to, and is patched.
indirect enum FlatValue {
    /// A number of 1, 4 or 8 bytes.
    case number([UInt8])
    /// Fields by their slot in the schema; absent ones have the schema's default.
    case table([(slot: Int, value: FlatValue)])
    /// UTF-8, with a zero behind it.
    case string(String)
    /// Tables or strings.
    case vector([FlatValue])
    /// Numbers of a size, which the bytes are aligned to, or to `alignment`.
    case numbers(ConstantData, size: Int, alignment: Int)
    /// A value whose bytes are known afterwards by what they are about.
    case named(FlatBufferRegion.Name, FlatValue)

    static func number<Number: FixedWidthInteger>(_ value: Number) -> FlatValue {
        .number(withUnsafeBytes(of: value.littleEndian, Array.init))
    }

    static func number(_ value: Float) -> FlatValue { number(value.bitPattern) }
    static func number(_ value: Bool) -> FlatValue { number(UInt8(value ? 1 : 0)) }

    static func numbers<Number: BitwiseCopyable>(_ values: [Number]) -> FlatValue {
        let size = MemoryLayout<Number>.size
        return .numbers(ConstantData(values.withUnsafeBytes(Array.init)), size: size, alignment: size)
    }
}

/// Where a named value stands in a file.
struct FlatBufferRegion {
    /// A tensor or an operator, and which part of it.
    struct Name {
        var subject: String
        var part: String
    }

    var name: Name
    var range: Range<Int>
}

/// Lays a tree of values out as a file.
struct FlatBufferWriter {
    private(set) var bytes: [UInt8] = []
    /// Inner ones before those that contain them.
    private(set) var regions: [FlatBufferRegion] = []

    /// The file of a root table. `identifier`: four ASCII characters.
    ///
    /// - Throws: ``DyadError`` `unsupported` for more than 2 GiB, which offsets cannot reach.
    static func file(_ root: FlatValue, identifier: String, named file: String) throws(DyadError) -> FlatBufferWriter {
        var writer = FlatBufferWriter()
        writer.bytes = [0, 0, 0, 0] + Array(identifier.utf8)
        let position = writer.write(root)
        guard writer.bytes.count <= Int(Int32.max) else {
            throw DyadError(
                .unsupported, file: file, found: "\(writer.bytes.count) bytes", expected: "2 GiB at most",
                remedy: "Export fewer layers in one file with --split.")
        }
        writer.patch(0, to: position)
        return writer
    }

    /// Zeros until `count + extra` is a multiple of `alignment`.
    private mutating func align(_ alignment: Int, before extra: Int = 0) {
        let rest = (bytes.count + extra) % alignment
        if rest > 0 { bytes.append(contentsOf: repeatElement(0, count: alignment - rest)) }
    }

    private mutating func append<Number: FixedWidthInteger>(_ value: Number) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func patch(_ position: Int, to target: Int) {
        let offset = UInt32(truncatingIfNeeded: target - position).littleEndian
        withUnsafeBytes(of: offset) { bytes.replaceSubrange(position..<position + 4, with: $0) }
    }

    /// Appends a value; returns what an offset to it must point at.
    private mutating func write(_ value: FlatValue) -> Int {
        switch value {
        case .number: preconditionFailure("numbers stand in tables")
        case .named(let name, let value):
            let start = bytes.count
            let position = write(value)
            regions.append(FlatBufferRegion(name: name, range: start..<bytes.count))
            return position
        case .table(let fields): return writeTable(fields)
        case .string(let text):
            align(4)
            let position = bytes.count
            append(UInt32(text.utf8.count))
            bytes.append(contentsOf: text.utf8)
            bytes.append(0)
            return position
        case .vector(let elements):
            align(4)
            let position = bytes.count
            append(UInt32(elements.count))
            bytes.append(contentsOf: repeatElement(0, count: 4 * elements.count))
            for (index, element) in elements.enumerated() {
                let target = write(element)
                patch(position + 4 + 4 * index, to: target)
            }
            return position
        case .numbers(let data, let size, let alignment):
            align(max(alignment, 4), before: 4)
            let position = bytes.count
            append(UInt32(data.count / size))
            data.withUnsafeBytes { bytes.append(contentsOf: $0) }
            return position
        }
    }

    private mutating func writeTable(_ fields: [(slot: Int, value: FlatValue)]) -> Int {
        func size(_ value: FlatValue) -> Int { if case .number(let bytes) = value { bytes.count } else { 4 } }
        // Large fields first: then none needs padding.
        let ordered = fields.sorted { (size($0.value), $1.slot) > (size($1.value), $0.slot) }
        let slots = (fields.map(\.slot).max() ?? -1) + 1
        let hasWide = ordered.contains { size($0.value) == 8 }
        // The table's first four bytes, then its fields; eight-byte ones begin at eight.
        var offset = hasWide ? 8 : 4
        var offsets = [Int](repeating: 0, count: slots)
        for field in ordered {
            offsets[field.slot] = offset
            offset += size(field.value)
        }
        align(2)
        let vtableSize = 4 + 2 * slots
        align(hasWide ? 8 : 4, before: vtableSize)
        let vtable = bytes.count
        append(UInt16(vtableSize))
        append(UInt16(offset))
        for offset in offsets { append(UInt16(offset)) }
        let table = bytes.count
        append(Int32(table - vtable))
        if hasWide { append(Int32(0)) }
        for field in ordered {
            if case .number(let number) = field.value { bytes.append(contentsOf: number) } else { append(UInt32(0)) }
        }
        for field in ordered {
            if case .number = field.value { continue }
            let target = write(field.value)
            patch(table + offsets[field.slot], to: target)
        }
        return table
    }
}
