import Foundation
import Testing

/// Between token ids and logits no floating-point value exists: the machine code of kernels and operations shows it.
@Suite("No floating-point arithmetic", .enabled(if: canDisassemble, "needs python3 and objdump"))
struct IntegerOnlyTests {
    private func check(_ arguments: String...) throws -> Command.Outcome {
        try Command(executable: Place.root + "/scripts/check_integer_only", arguments).outcome()
    }

    @Test(
        "in the release objects of the kernels and of the runtime's operations", .enabled(if: isRelease, "debug build"))
    func objects() throws {
        let outcome = try check("--build", Place.build)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let count = try #require(
            outcome.output.firstMatch(
                of: /(\d+) objects and (\d+) functions they refer to, (\d+) instructions, 0 of them/))
        let kernels = try FileManager.default.subpathsOfDirectory(atPath: Place.root + "/Sources/CDyadKernels")
            .filter { $0.hasSuffix(".c") }
        let operations = try list(Place.root + "/Sources/DyadRuntime/Operations")
        #expect(Int(count.1) == kernels.count + operations.count)
        #expect(Int(count.2) ?? 0 > 0)
        #expect(Int(count.3) ?? 0 > 5000)
    }

    @Test("the check finds it where there is some", .enabled(if: isRelease, "debug build"))
    func canFail() throws {
        let object = Place.build + "/DyadEvaluation.build/PerplexityResult.swift.o"
        let outcome = try check(object)
        #expect(outcome.status == 1, "\(outcome.errors)")
        #expect(outcome.output.contains("PerplexityResult.swift.o: "))
        #expect(try check(Place.build + "/none.o").status == 66)
    }

    @Test("the check knows the instructions, of small C programs and by name", .enabled(if: hasClang, "needs clang"))
    func selfTest() throws {
        let outcome = try check("--self-test")
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    }
}

private func isInPath(_ names: String...) -> Bool {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.contains { folder in names.contains { exists(folder + "/" + $0) } }
}

private let canDisassemble = isInPath("python3") && isInPath("objdump", "llvm-objdump")
private let hasClang = isInPath("clang", "swift")

#if DEBUG
    private let isRelease = false
#else
    private let isRelease = true
#endif
