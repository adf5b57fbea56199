import DyadFormats

/// Reading constants: every accessor checks that the constant is there and has as many bytes as it must.
extension IntegerProgram {
    /// The bytes of constant `name` as elements of a little-endian type (`Int16` for i16, `UInt8` for u8 ...).
    ///
    /// - Throws: ``DyadError`` where the constant is missing or its byte count differs from its description.
    /// - Cost: one copy.
    public func elements<Element: FixedWidthInteger & BitwiseCopyable>(
        of name: String, as type: Element.Type
    ) throws(DyadError) -> [Element] {
        let data = try checkedData(of: name)
        return data.withUnsafeBytes { bytes in
            let size = MemoryLayout<Element>.size
            return (0..<bytes.count / size).map {
                Element(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * size, as: Element.self))
            }
        }
    }

    /// The float32 values of constant `name` (scales, gains).
    ///
    /// - Throws: as ``elements(of:as:)``.
    public func floats(of name: String) throws(DyadError) -> [Float] {
        try elements(of: name, as: UInt32.self).map(Float.init(bitPattern:))
    }

    /// The weight `name` as one `Int8` an element, row-major, i4 unpacked.
    ///
    /// - Throws: ``DyadError`` as ``elements(of:as:)``, and for an i4 element −8.
    /// - Cost: one byte an element.
    public func weights(of name: String) throws(DyadError) -> [Int8] {
        guard let constant = graph.constant(name) else { throw Self.missing(name) }
        guard constant.type == .i4 else { return try elements(of: name, as: Int8.self) }
        let packed = try checkedData(of: name)
        let count = constant.shape.reduce(1, *)  // checkedData has proved that it does not overflow
        let unpacked = packed.withUnsafeBytes { bytes in
            [Int8](unsafeUninitializedCapacity: count) { output, filled in
                for index in 0..<count {
                    // Sign-extend the nibble: low nibble first.
                    let byte = Int8(bitPattern: bytes[index >> 1])
                    output[index] = index & 1 == 0 ? (byte &<< 4) &>> 4 : byte &>> 4
                }
                filled = count
            }
        }
        guard !unpacked.contains(-8) else {
            throw DyadError(
                .malformed, subject: name, found: "the 4-bit weight −8", expected: "weights in −7 … 7",
                remedy: "The file is damaged or was made by another tool: quantise the model again.")
        }
        return unpacked
    }

    /// The bytes of constant `name`, as many as its description says.
    func checkedData(of name: String) throws(DyadError) -> ConstantData {
        guard let constant = graph.constant(name), let data = constants[name] else { throw Self.missing(name) }
        guard data.count == constant.byteCount else {
            throw DyadError(
                .malformed, subject: name, found: "\(data.count) bytes",
                expected: constant.byteCount.map { "\($0) bytes for the shape \(constant.shape)" }
                    ?? "a shape whose size fits 63 bits, not \(constant.shape)",
                remedy: "The file is damaged: write or download it again.")
        }
        return try data.data()
    }

    private static func missing(_ name: String) -> DyadError {
        DyadError(
            .malformed, subject: name, found: "no constant of this name", expected: "its description and its bytes",
            remedy: "The file is damaged or incomplete: write or download it again.")
    }
}

extension IntegerProgram {
    /// The packed bytes of constant `name`.
    ///
    /// - Throws: as ``elements(of:as:)``.
    public func data(of name: String) throws(DyadError) -> ConstantData { try checkedData(of: name) }
}
