import DyadFormats
import DyadTensor
import Foundation
import Synchronization
import Testing

/// Memory that counts how often it is freed.
private final class Buffer: Sendable {
    nonisolated(unsafe) let bytes: UnsafeMutableRawBufferPointer
    let freed: Counter

    final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    init(_ values: [Float], freed: Counter) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: values.count * 4, alignment: 64)
        values.withUnsafeBytes { memory.copyMemory(from: $0) }
        bytes = memory
        self.freed = freed
    }

    deinit {
        bytes.deallocate()
        freed.count.add(1, ordering: .relaxed)
    }
}

@Suite("Borrowed memory", .needsTorch)
struct MemoryTests {
    @Test("is not copied, and lives as long as any view of it")
    func lifetime() throws {
        let freed = Buffer.Counter()
        var view: Tensor?
        do {
            let buffer = Buffer([1, 2, 3, 4], freed: freed)
            let tensor = try Tensor(
                borrowing: UnsafeRawBufferPointer(buffer.bytes), dtype: .float32, shape: [2, 2], owner: buffer)
            let address = try tensor.withUnsafeBytes { $0.baseAddress }
            #expect(address == UnsafeRawPointer(buffer.bytes.baseAddress))
            view = try tensor.transpose().select(0, 1)
        }
        #expect(freed.count.load(ordering: .relaxed) == 0)
        #expect(try view?.toArray(Float.self) == [2, 4])
        view = nil
        #expect(freed.count.load(ordering: .relaxed) == 1)
    }

    @Test("is never written to")
    func readOnly() throws {
        let buffer = Buffer([1, 2, 3, 4], freed: .init())
        let tensor = try Tensor(
            borrowing: UnsafeRawBufferPointer(buffer.bytes), dtype: .float32, shape: [4], owner: buffer)
        #expect(tensor.isReadOnly)
        #expect(try tensor.narrow(0, start: 1, length: 2).isReadOnly)
        let error = #expect(throws: DyadError.self) { try tensor.reshape([2, 2]).fill(0) }
        #expect(error?.found.contains("read-only memory") == true)
        #expect(throws: DyadError.self) { try tensor.copy(from: Tensor.zeros([4])) }
        let copy = try tensor.clone()
        try copy.fill(0)
        #expect(try tensor.toArray(Float.self) == [1, 2, 3, 4])
    }

    @Test("must be large enough and aligned; a refused owner is let go")
    func refused() throws {
        let freed = Buffer.Counter()
        do {
            let buffer = Buffer([1, 2, 3, 4], freed: freed)
            let bytes = UnsafeRawBufferPointer(buffer.bytes)
            #expect(throws: DyadError.self) { try Tensor(borrowing: bytes, dtype: .float32, shape: [5], owner: buffer) }
            #expect(throws: DyadError.self) {
                try Tensor(borrowing: bytes, dtype: .float32, shape: [-4], owner: buffer)
            }
            #expect(throws: DyadError.self) {
                try Tensor(borrowing: bytes, dtype: .float32, shape: [1 << 40, 1 << 40], owner: buffer)
            }
            let odd = UnsafeRawBufferPointer(rebasing: bytes[1..<9])
            #expect(throws: DyadError.self) { try Tensor(borrowing: odd, dtype: .float32, shape: [2], owner: buffer) }
        }
        #expect(freed.count.load(ordering: .relaxed) == 1)
    }

    @Test("of 16-bit floats is read as such")
    func bfloat16() throws {
        let words: [UInt16] = [0x3F80, 0xC040]
        try words.withUnsafeBytes { bytes in
            let tensor = try Tensor(borrowing: bytes, dtype: .bfloat16, shape: [2], owner: words)
            #expect(try tensor.toArray(Float.self) == [1, -3])
        }
    }

    @Test("bytes of a tensor with gaps are refused")
    func gaps() throws {
        let tensor = try Tensor.zeros([2, 3]).transpose()
        #expect(throws: DyadError.self) { try tensor.withUnsafeBytes { $0.count } }
        #expect(try tensor.contiguous().withUnsafeBytes { $0.count } == 24)
    }
}
