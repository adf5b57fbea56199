import DyadFormats
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        "null", "true", "[]", "{}", "-0", "0.5", "1e-5", "9223372036854775807", "-9223372036854775808",
        "18446744073709551616", "[1,[2,[3]],{\"b\":1,\"a\":2}]", "\"\\u0001\\\"\\\\é𝄞\"",
    ])
    func writingGivesBackWhatWasRead(text: String) throws {
        #expect(try JSONValue.parse(text).text() == text)
    }

    @Test func escapesBecomeTheirCharacters() throws {
        #expect(try JSONValue.parse(#" "\u00e9\ud834\udd1e\n\/\t" "#) == .string("é𝄞\n/\t"))
    }

    @Test(arguments: [
        "", " ", "[", "]", "{\"a\":1", "[1,]", "{\"a\" 1}", "{a:1}", "01", "1.", ".5", "+1", "1e", "-", "nul", "NaN",
        "\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\u12g4\"", "\"\u{1}\"", "1 2",
        "{\"a\":1,\"a\":2}", "\u{feff}1",
    ])
    func whatIsNotJSONIsMalformedAndNamesTheByte(text: String) {
        let error = #expect(throws: DyadError.self) { try JSONValue.parse(text, file: "x.json") }
        #expect(error?.reason == .malformed && error?.file == "x.json")
        #expect(error?.subject?.hasPrefix("byte ") == true)
    }

    @Test func bytesThatAreNotUTF8AreMalformed() {
        for bytes: [UInt8] in [
            [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0x5c, 0x6e, 0xed, 0xa0, 0x80, 0x22],
        ] {
            #expect(throws: DyadError.self) { try bytes.withUnsafeBytes { try JSONValue.parse($0) } }
        }
    }

    @Test func nestingIsBounded() throws {
        let limit = JSONValue.depthLimit
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSONValue.parse(nested(limit))
        #expect(throws: DyadError.self) { try JSONValue.parse(nested(limit + 2)) }
        #expect(throws: DyadError.self) { try JSONValue.parse(String(repeating: "{\"a\":", count: 1_000_000)) }
    }

    @Test func keysThatSwiftStringsCallEqualStayApart() throws {
        let composed = "\u{e9}"
        let decomposed = "e\u{301}"
        let filler = (0..<20).map { "\"k\($0)\":\($0)," }.joined()
        for filler in ["", filler] {
            let value = try JSONValue.parse("{\(filler)\"\(composed)\":1,\"\(decomposed)\":2}")
            #expect(value[composed] == 1 && value[decomposed] == 2)
            #expect(JSONValue.string(composed) != .string(decomposed))
        }
    }

    @Test func aLargeObjectRefusesADuplicateAndFindsEveryKey() throws {
        let members = (0..<1000).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
        let value = try JSONValue.parse("{\(members)}")
        #expect((0..<1000).allSatisfy { value["k\($0)"] == .integer($0) })
        #expect(value.object?.keys.first == "k0" && value.object?.count == 1000)
        #expect(throws: DyadError.self) { try JSONValue.parse("{\(members),\"k500\":1}") }
    }

    @Test func membersAreSetReplacedAndRemovedInPlace() throws {
        var object = JSONObject([("a", 1), ("b", 2)])
        object["a"] = 3
        object["c"] = 4
        object["b"] = nil
        #expect(JSONValue.object(object).text() == #"{"a":3,"c":4}"#)
    }

    @Test func indentedTextParsesToTheSameValue() throws {
        let value: JSONValue = ["a": [1, 2.5, nil, true], "b": [:], "c": []]
        #expect(try JSONValue.parse(value.text(indented: true)) == value)
        #expect(value.text(indented: true).hasPrefix("{\n  \"a\": [\n    1,"))
    }

    @Test func longNamesAndControlCharactersDoNotFillTheMessage() throws {
        let long = String(repeating: "k", count: 1 << 20)
        let error = #expect(throws: DyadError.self) { try JSONValue.parse("{\"\(long)\":1,\"\(long)\":2}") }
        #expect((error?.description.utf8.count ?? .max) < 1000)
        let digits = JSONField(try JSONValue.parse(String(repeating: "1", count: 1 << 20)), file: "x")
        #expect(#expect(throws: DyadError.self) { try digits.integer() }?.found == "a number")
        let steered = DyadError(.malformed, subject: "\u{1b}[2Jx", found: "a\u{7}", expected: "", remedy: "")
        #expect(steered.description.hasPrefix("\\u{1b}[2Jx: found a\\u{7}"))
    }

    @Test func numbersKeepTheirValue() throws {
        for value in [0.1, 1e-300, .greatestFiniteMagnitude, -Double.leastNonzeroMagnitude] {
            #expect(try JSONValue.parse(JSONValue.number(value).text()).double == value)
        }
        #expect(JSONValue.number(Float(0.1)).text() == "0.1")
        #expect(try JSONValue.parse("1e999").double == nil)
    }

    @Test func fieldsNameTheirPathInErrors() throws {
        let root = JSONField(try JSONValue.parse(#"{"a":{"b":[1,"x"]},"n":null,"f":2.0}"#), file: "f.json")
        #expect(try root.member("a").member("b").elements()[0].integer() == 1)
        #expect(try root.optional("n") == nil)
        #expect(try root.member("f").integer() == 2)
        let error = #expect(throws: DyadError.self) {
            try root.member("a").member("b").elements()[1].integer(in: 0...9)
        }
        #expect(error?.subject == "a.b[1]" && error?.file == "f.json" && error?.found == "\"x\"")
        #expect(throws: DyadError.self) { try root.member("zz") }
    }

    @Test func aChangedByteGivesAValueOrATypedError() throws {
        let text = Array(#"{"a":[1,-2.5e3,"\u00e9\n",true],"é":{"b":null,"c":[[]]}}"#.utf8)
        var refused = 0
        for position in text.indices {
            for byte in UInt8.min...UInt8.max {
                var changed = text
                changed[position] = byte
                do throws(DyadError) {
                    let value = try changed.withUnsafeBufferPointer { (bytes) throws(DyadError) in
                        try JSONValue.parse(UnsafeRawBufferPointer(bytes))
                    }
                    #expect(try JSONValue.parse(value.text()) == value)
                } catch {
                    refused += 1
                }
            }
        }
        #expect(refused > text.count * 100 && refused < text.count * 256)
    }

    @Test func pythonsWordsAreNumbersOnlyWhereTheyAreAllowed() throws {
        let text = #"{"a": NaN, "b": [Infinity, -Infinity, -1]}"#
        #expect(throws: DyadError.self) { try JSONValue.parse(text) }
        let value = try Array(text.utf8).withUnsafeBytes { try JSONValue.parse($0, allowsNonFinite: true) }
        #expect(value["a"]?.double == nil && value["b"]?.array?.last == -1)
        let error = #expect(throws: DyadError.self) { try JSONField(value, file: "c").member("a").double() }
        #expect(error?.subject == "a" && error?.found == "NaN")
        for text in ["Nan", "nan", "Infinite", "-Inf", "NaNs"] {
            #expect(throws: DyadError.self) {
                try Array(text.utf8).withUnsafeBytes { try JSONValue.parse($0, allowsNonFinite: true) }
            }
        }
    }
}
