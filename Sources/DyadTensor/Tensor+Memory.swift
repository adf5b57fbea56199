import CDyadTorch
import DyadFormats

/// Keeps the owner of a tensor's memory alive until libtorch lets go of it, on whatever thread that happens.
private final class MemoryOwner: Sendable {
    let owner: any Sendable
    init(_ owner: any Sendable) { self.owner = owner }
}

extension Tensor {
    /// A tensor with a copy of `elements`, of the elements' own dtype, in row-major order.
    ///
    /// Throws when the shape does not hold exactly that many elements.
    public convenience init<Element: TensorElement>(
        _ elements: [Element], shape: [Int], device: Device = .cpu
    ) throws(DyadError) {
        try Self.check(shape, holds: elements.count)
        var status: Int32 = 0
        var message: UnsafeMutablePointer<CChar>?
        var borrowed: OpaquePointer?
        var copy: Tensor?
        var refused: DyadError?
        elements.withUnsafeBytes { bytes in
            status = Self.make(
                bytes.baseAddress, Element.dtype, shape, readOnly: false, owner: nil, &borrowed, &message)
            guard status == 0, let borrowed else { return }
            // The copy is made while the array is pinned.
            do throws(DyadError) { copy = try Tensor(owning: borrowed).clone() } catch { refused = error }
        }
        if status != 0 { throw failure(status, message, subject: "tensor of shape \(shape)") }
        if let refused { throw refused }
        guard let copy else { throw Self.unexpected("tensor from elements") }
        let placed = device == .cpu ? copy : try copy.to(device)
        try self.init(sharing: placed)
    }

    /// A vector with a copy of `elements`.
    public convenience init<Element: TensorElement>(_ elements: [Element], device: Device = .cpu) throws(DyadError) {
        try self.init(elements, shape: [elements.count], device: device)
    }

    /// A tensor of rank 0.
    public convenience init<Element: TensorElement>(scalar: Element, device: Device = .cpu) throws(DyadError) {
        try self.init([scalar], shape: [], device: device)
    }

    /// A CPU tensor over memory that belongs to `owner`, without a copy: the bytes of a file.
    ///
    /// `owner` is kept alive as long as any tensor or view refers to the memory. In-place operations refuse
    /// to write to it. Throws when the bytes are fewer than the shape needs or not aligned to the element.
    public convenience init(
        borrowing bytes: UnsafeRawBufferPointer, dtype: DType, shape: [Int], owner: some Sendable
    ) throws(DyadError) {
        try Self.check(shape, holds: bytes.count / dtype.byteCount, orMore: true)
        if let address = bytes.baseAddress, Int(bitPattern: address) % dtype.byteCount != 0 {
            throw DyadError(
                .mismatch, subject: "tensor of shape \(shape)", found: "memory that is not aligned for \(dtype)",
                expected: "an address divisible by \(dtype.byteCount)", remedy: "Copy the bytes into an array first.")
        }
        var message: UnsafeMutablePointer<CChar>?
        var made: OpaquePointer?
        let status = Self.make(
            bytes.baseAddress, dtype, shape, readOnly: true, owner: MemoryOwner(owner), &made, &message)
        if status != 0 { throw failure(status, message, subject: "tensor of shape \(shape)") }
        guard let made else { throw Self.unexpected("tensor from memory") }
        try self.init(owning: made)
    }

    /// Another reference to the same tensor (an alias that shares memory and autograd history).
    private convenience init(sharing other: Tensor) throws(DyadError) {
        let results = try Self.results(of: "aten::alias", [.tensor(other)], capacity: 1)
        guard case .tensor(.some(let handle))? = results.first else { throw Self.unexpected("aten::alias") }
        try self.init(owning: handle)
    }

    private static func make(
        _ address: UnsafeRawPointer?, _ dtype: DType, _ shape: [Int], readOnly: Bool, owner: MemoryOwner?,
        _ made: inout OpaquePointer?, _ message: inout UnsafeMutablePointer<CChar>?
    ) -> Int32 {
        let sizes = shape.map { Int64($0) }
        guard let owner else {
            return dyad_torch_from_memory(
                address, dtype.rawValue, sizes, Int32(sizes.count), readOnly, nil, nil, &made, &message)
        }
        return dyad_torch_from_memory(
            address, dtype.rawValue, sizes, Int32(sizes.count), readOnly, Unmanaged.passRetained(owner).toOpaque(),
            { owner in if let owner { Unmanaged<MemoryOwner>.fromOpaque(owner).release() } }, &made, &message)
    }

    private static func check(_ shape: [Int], holds count: Int, orMore: Bool = false) throws(DyadError) {
        var needed: Int? = 1
        for size in shape {
            guard size >= 0, let soFar = needed else {
                needed = nil
                break
            }
            let (product, overflow) = soFar.multipliedReportingOverflow(by: size)
            needed = overflow ? nil : product
        }
        if let needed, orMore ? needed <= count : needed == count { return }
        throw DyadError(
            .mismatch, subject: "tensor of shape \(shape)", found: "\(count) elements",
            expected: needed.map { "\($0) elements" } ?? "sizes that are not negative and do not overflow",
            remedy: "Make the shape fit the data.")
    }

    /// The only element of a tensor that has one, as a Double.
    public func item() throws(DyadError) -> Double {
        switch try Self.results(of: "aten::item", [.tensor(self)], capacity: 1).first {
        case .double(let value): return value
        case .int(let value): return Double(value)
        case .bool(let value): return value ? 1 : 0
        default: throw Self.unexpected("aten::item")
        }
    }

    /// The elements in row-major order, converted to `Element`'s dtype.
    ///
    /// Cost: one copy, plus a conversion when dtype, device or layout differ.
    public func toArray<Element: TensorElement>(_ type: Element.Type = Element.self) throws(DyadError) -> [Element] {
        try detach().to(.cpu, dtype: Element.dtype).contiguous().withUnsafeBytes { bytes in
            [Element](unsafeUninitializedCapacity: bytes.count / MemoryLayout<Element>.stride) { buffer, count in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
                count = bytes.count / MemoryLayout<Element>.stride
            }
        }
    }

    /// Gives `body` the bytes of a contiguous CPU tensor; they must not be used after it returns.
    ///
    /// Throws when the tensor lies elsewhere or has gaps: use `to(.cpu)` and `contiguous()` first.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) throws(DyadError) -> Result {
        let layout = layout
        guard layout.deviceType == Device.cpu.type, layout.contiguous else {
            throw DyadError(
                .mismatch, subject: "\(self)", found: layout.contiguous ? "memory of \(device)" : "a layout with gaps",
                expected: "a contiguous tensor on the CPU", remedy: "Use to(.cpu) and contiguous() first.")
        }
        let bytes = UnsafeRawBufferPointer(start: layout.data, count: Int(layout.elementCount) * dtype.byteCount)
        return withExtendedLifetime(self) { body(bytes) }
    }
}
