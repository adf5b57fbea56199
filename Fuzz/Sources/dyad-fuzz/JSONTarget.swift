import DyadFormats

/// A JSON document: what is read is written as a document that reads the same.
enum JSONTarget: FuzzTarget {
    static let name = "json"

    static func run(_ input: UnsafeRawBufferPointer) {
        attempt { () throws(DyadError) in
            let value = try JSONValue.parse(input, file: "fuzz.json")
            for isIndented in [false, true] {
                let text = value.text(indented: isIndented)
                let again: JSONValue
                do { again = try JSONValue.parse(text) } catch { broken("what is written cannot be read: \(error)") }
                require(again == value, "what is written reads otherwise: \(text)")
            }
        }
    }

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        guard Bool.random(using: &random), let value = try? input.withUnsafeBytes({ try JSONValue.parse($0) }) else {
            return nil
        }
        return Array(
            JSONMutation.changed(
                value, words: ["a", "\u{0}", "\u{FFFF}", "\\", "\"", "\u{1F600}", "é", "e\u{301}"], using: &random
            ).text().utf8)
    }

    static func seeds() throws -> [[UInt8]] {
        [
            #"{"a":[1,-2.5e10,true,false,null,"b\u00e9\n\ud83d\ude00"],"":{},"x":{"y":[[],{}]}}"#,
            "[9223372036854775807,-9223372036854775808,1E400,0.1]",
            " \t\r\n\"\\\"\\\\\\/\\b\\f\" ", String(repeating: "[", count: 100) + String(repeating: "]", count: 100),
        ].map { Array($0.utf8) }
    }
}
