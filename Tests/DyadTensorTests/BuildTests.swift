import DyadFormats
import DyadTensor
import Testing

@Suite("Devices and builds")
struct BuildTests {
    @Test("without libtorch every operation says so", .enabled(if: !Torch.isAvailable, "built with libtorch"))
    func withoutTorch() {
        let error = #expect(throws: DyadError.self) { try Tensor.zeros([1]) }
        #expect(error?.found == "builtWithoutTorch" && error?.reason == .failed)
        #expect(throws: DyadError.self) { try Tensor([1, 2] as [Float]) }
        #expect(throws: DyadError.self) { try Generator(seed: 1) }
        #expect(throws: DyadError.self) { try Parallelism.setThreads(1) }
        #expect(!Device.cpu.isAvailable)
    }

    @Test("devices are read from their names", .needsTorch)
    func devices() throws {
        #expect(try Device(parsing: "cpu") == .cpu)
        #expect(Device.cuda(1).description == "cuda:1")
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "cuda:99", "cuda:1:1"] {
            let error = #expect(throws: DyadError.self) { try Device(parsing: text) }
            #expect(error?.reason == .usage)
        }
        let gpu = #expect(throws: DyadError.self) { try Tensor.zeros([1], device: .cuda(99)) }
        #expect(gpu?.found.contains("not available") == true)
    }

    @Test("the number of threads is set, within reason", .needsTorch)
    func threads() throws {
        #expect(throws: DyadError.self) { try Parallelism.setThreads(0) }
        #expect(throws: DyadError.self) { try Parallelism.setThreads(1 << 40) }
        #expect(Parallelism.threads >= 1)
    }
}
