import DyadFormats
import Foundation
import Testing

/// Headers of a safetensors file that are large and say little: what they would make of memory or time is refused before it is taken.
///
/// One after another: some ask what memory the process has, and all take some.
@Suite(.serialized) struct HostileHeaderTests {
    /// A file of a header and no data.
    private func open(_ header: String) throws -> SafetensorsFile {
        var result: SafetensorsFile?
        try withFolder { folder in
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
            try save(length + Array(header.utf8), folder + "/t.safetensors")
            result = try SafetensorsFile(path: folder + "/t.safetensors")
        }
        return try #require(result)
    }

    /// The processor's seconds that this thread has had.
    private func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private static let mebi = 1 << 20

    /// A header, how many bytes of it may be parsed, and what the error says.
    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var parsed = HostileHeaderTests.mebi
        var found: String
        var header: @Sendable () -> String
    }

    private static func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

    /// Members of an object, each with a key of its own.
    private static func members(_ count: Int, key: String = "", _ value: String) -> String {
        var text = ""
        for index in 0..<count { text += (index == 0 ? "\"" : ",\"") + key + String(index, radix: 16) + "\":" + value }
        return text
    }

    private static let memory = "1048576 bytes of memory"
    private static let cases: [Case] = [
        Case(testDescription: "a gigantic shape", found: memory) {
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(repeated("1,", 2 * mebi))1],\"data_offsets\":[0,0]}}"
        },
        Case(testDescription: "a few dimensions too many", found: "65 dimensions") {
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(repeated("1,", 64))1],\"data_offsets\":[0,0]}}"
        },
        Case(testDescription: "a field of tiny objects", found: memory) {
            "{\"a\":{\"x\":[\(repeated("{},", 2 * mebi)){}],\"dtype\":\"U8\"}}"
        },
        Case(testDescription: "a field of long text", found: memory) {
            "{\"a\":{\"x\":\"\(repeated("\\n", 2 * mebi))\"}}"
        },
        Case(testDescription: "offsets without end", found: memory) {
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[\(repeated("0,", 2 * mebi))0]}}"
        },
        Case(testDescription: "another root", found: memory) { "[\(repeated("1,", 2 * mebi))1]" },
        Case(testDescription: "metadata that is a list", found: memory) {
            "{\"__metadata__\":[\(repeated("1,", 2 * mebi))1]}"
        },
        Case(testDescription: "a list in the metadata", found: memory) {
            "{\"__metadata__\":{\"a\":[\(repeated("1,", 2 * mebi))1]}}"
        },
        Case(testDescription: "a long name", parsed: .max, found: "a key of 2097152 bytes") {
            "{\"\(repeated("a", 2 * mebi))\":{}}"
        },
        Case(testDescription: "metadata without end", parsed: .max, found: "more than 65536 entries") {
            "{\"__metadata__\":{\(members(80_000, "\"\""))}}"
        },
        Case(testDescription: "keys that are slow to compare", parsed: .max, found: "bytes of keys") {
            "{\"__metadata__\":{\(members(20_000, key: repeated("e\u{301}", 330), "\"\""))}}"
        },
        Case(testDescription: "tensors without end", parsed: 40 * mebi, found: "more than 327680 tensors") {
            "{\(members(560_000, "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"))}"
        },
        Case(testDescription: "tensors of many dimensions", parsed: 40 * mebi, found: "bytes of memory") {
            let shape = "[0\(repeated(",1", 63))]"
            return "{\(members(200_000, "{\"dtype\":\"U8\",\"shape\":\(shape),\"data_offsets\":[0,0]}"))}"
        },
    ]

    @Test(arguments: cases)
    func whatSaysLittleIsRefusedBeforeItTakesMuch(_ hostile: Case) throws {
        let header = hostile.header()
        let start = processorSeconds()
        let error = #expect(throws: DyadError.self) { _ = try open(header) }
        #expect(processorSeconds() - start < 4)
        let said = try #require(error)
        #expect(said.found.contains(hostile.found), "\(said)")
        // Where the error says it stood.
        let position = said.subject?.split(separator: " ").last.flatMap { Int($0) } ?? 0
        #expect(position < hostile.parsed, "\(said)")
    }

    @Test func aHeaderOfManyTensorsLoads() throws {
        var header = "{\"__metadata__\":{\"format\":\"pt\"}"
        for index in 0..<300_000 {
            let name = "model.layers.\(index % 80).block_sparse_moe.experts.\(1_000_000 + index).gate_proj.weight"
            header += ",\"\(name)\":{\"dtype\":\"BF16\",\"shape\":[4096,0],\"data_offsets\":[0,0]}"
        }
        let file = try open(header + "}")
        #expect(file.names.count == 300_000 && file.metadata == ["format": "pt"])
        // Empty tensors stay in the header's order.
        #expect(file.names.last?.contains("1299999") == true)
    }

    @Test func tensorsBeyondTheLimitAreRefusedWithTheNumber() throws {
        let entries = (0...327_680).map {
            "\"\($0)\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        }
        let error = #expect(throws: DyadError.self) { _ = try open("{" + entries.joined(separator: ",") + "}") }
        #expect(
            error?.reason == .unsupported && error?.found.contains("327680") == true, "\(String(describing: error))")
    }

    @Test func aLargeTokenizerInTheMetadataLoads() throws {
        let text = (0..<1_500_000).map { "[\\\"piece\\\",\\\"\($0)\\\"]" }.joined(separator: ",")
        let file = try open("{\"__metadata__\":{\"dyad.tokenizer\":\"\(text)\"}}")
        #expect(text.utf8.count > 34_000_000)
        #expect(file.metadata["dyad.tokenizer"]?.utf8.count == text.utf8.count - 6_000_000)
    }

    @Test func metadataStandsOnceAndIsText() throws {
        #expect(try open("{\"__metadata__\":{}}").metadata.isEmpty)
        for (header, found) in [
            ("{\"__metadata__\":{},\"__metadata__\":{}}", "\"__metadata__\" for the second time"),
            ("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", "\"a\" for the second time"),
            ("{\"__metadata__\":{\"a\":1}}", "1"), ("{\"__metadata__\":null}", "null"),
            ("{\"__metadata__\":{\"a\":\"\"", "end"),
        ] {
            let error = #expect(throws: DyadError.self) { _ = try open(header) }
            #expect(
                error?.reason == .malformed && error?.found.contains(found) == true, "\(header): \(error?.found ?? "")")
        }
    }

    @Test(arguments: ["[[1],", "[{},", "[1,", "[{\"a\":1},", "[[[[1]]],", "[\"abcdefghijklmnopqrst\","])
    func aTextTakesAFewTimesItsBytesOrIsRefused(start: String) throws {
        var text = Array(start.utf8)
        while text.count < 16 << 20 { text += text.dropFirst() }
        let before = residentBytes()
        let result = Result { try text.withUnsafeBytes { try JSONValue.parse($0, file: "x") } }
        #expect(residentBytes() - before < 250 << 20)
        // Every one of them lacks its end; most are refused before.
        guard case .failure(let error) = result else {
            Issue.record("parsed")
            return
        }
        #expect((error as? DyadError)?.reason == .malformed)
    }

    @Test func placesAreMadeWhenTheyAreAskedFor() throws {
        let text = "{\"list\":[" + (0..<400_000).map { String($0) }.joined(separator: ",") + "]}"
        let root = JSONField(try JSONValue.parse(text), file: "x")
        let before = residentBytes()
        let elements = try root.member("list").elements()
        #expect(try elements.reduce(0) { try $0 + $1.integer() } == 400_000 * 399_999 / 2)
        #expect(residentBytes() - before < 10 << 20)
        #expect(elements[399_999].path == "list[399999]")
    }
}
