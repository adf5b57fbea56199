import CFuzzer
import DyadFormats

/// Changes of a JSON document that leave it a document.
enum JSONMutation {
    /// One to three changes of a document. `words` are strings and names that mean something to the reader.
    static func changed(_ root: JSONValue, words: [String], using random: inout SeededRandom) -> JSONValue {
        var root = root
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let count = size(of: root)
            // The donor of a transplant.
            var place = Int.random(in: 0..<count, using: &random)
            let donor = node(&place, in: root) ?? .null
            place = Int.random(in: 0..<count, using: &random)
            root = replaced(root, at: &place) { change($0, donor, words, using: &random) }
        }
        return root
    }

    private static func size(of value: JSONValue) -> Int {
        switch value {
        case .array(let items): items.reduce(1) { $0 + size(of: $1) }
        case .object(let object): object.values.reduce(1) { $0 + size(of: $1) }
        default: 1
        }
    }

    private static func node(_ place: inout Int, in value: JSONValue) -> JSONValue? {
        if place == 0 { return value }
        place -= 1
        for child in value.array ?? value.object?.values ?? [] {
            if let found = node(&place, in: child) { return found }
        }
        return nil
    }

    private static func replaced(_ value: JSONValue, at place: inout Int, _ change: (JSONValue) -> JSONValue)
        -> JSONValue
    {
        if place == 0 {
            place = -1
            return change(value)
        }
        guard place > 0 else { return value }
        place -= 1
        switch value {
        case .array(let items):
            var result: [JSONValue] = []
            for item in items { result.append(place < 0 ? item : replaced(item, at: &place, change)) }
            return .array(result)
        case .object(let object):
            var members: [(String, JSONValue)] = []
            for (key, item) in object.members {
                members.append((key, place < 0 ? item : replaced(item, at: &place, change)))
            }
            return .object(JSONObject(members))
        default: return value
        }
    }

    private static let numbers: [Int] = [
        0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 4096, 65535, 65536, 1 << 20,
        1 << 24, 1 << 28,
        Int(Int32.max), Int(Int32.max) + 1, Int(Int32.min), Int(UInt32.max), 1 << 40, 1 << 53, Int.max, Int.min,
    ]
    private static let decimals = [
        "0.0", "-0.0", "0.5", "1e-7", "1.4e-45", "1e-300", "3.4e38", "1e300", "1e999", "-1.5", "1e2",
        "12345678901234567890",
    ]

    private static func change(
        _ value: JSONValue, _ donor: JSONValue, _ words: [String], using random: inout SeededRandom
    )
        -> JSONValue
    {
        if Int.random(in: 0..<8, using: &random) == 0 { return donor }
        switch value {
        case .null: return [donor, .bool(true), .integer(0), .string("")].randomElement(using: &random) ?? donor
        case .bool(let flag): return .bool(!flag)
        case .integer(let number):
            switch Int.random(in: 0..<4, using: &random) {
            case 0: return .integer(number &+ Int.random(in: -2...2, using: &random))
            case 1: return .integer(number &* 2)
            case 2: return decimal(using: &random)
            default: return .integer(numbers.randomElement(using: &random) ?? 0)
            }
        case .decimal:
            return Bool.random(using: &random)
                ? decimal(using: &random) : .integer(numbers.randomElement(using: &random) ?? 0)
        case .string(let text): return .string(word(text, words, using: &random))
        case .array(var items):
            if items.isEmpty { return [donor] }
            let place = Int.random(in: 0..<items.count, using: &random)
            let other = Int.random(in: 0..<items.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: items.remove(at: place)
            case 1: items.insert(items[other], at: place)
            case 2: items.swapAt(place, other)
            case 3: items.insert(donor, at: place)
            case 4: items.insert(items.remove(at: place), at: other)
            default: items = Array(items[..<place])
            }
            return .array(items)
        case .object(let object):
            var members = Array(object.members)
            if members.isEmpty { return .object(JSONObject([(words.randomElement(using: &random) ?? "a", donor)])) }
            let place = Int.random(in: 0..<members.count, using: &random)
            let other = Int.random(in: 0..<members.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: members.remove(at: place)
            case 1: members[place].1 = members[other].1
            case 2: members.append((word(members[other].0, words, using: &random), members[place].1))
            case 3: members.append((words.randomElement(using: &random) ?? "a", donor))
            default: members[place].0 = word(members[place].0, words, using: &random)
            }
            var result = JSONObject()
            for (key, item) in members { _ = result.append(key, item) }
            return .object(result)
        }
    }

    private static func decimal(using random: inout SeededRandom) -> JSONValue {
        let literal = decimals.randomElement(using: &random) ?? "0.5"
        return (try? JSONValue.parse(literal)) ?? .integer(0)
    }

    private static func word(_ text: String, _ words: [String], using random: inout SeededRandom) -> String {
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1, 2: return words.randomElement(using: &random) ?? text
        case 3: return text + (words.randomElement(using: &random) ?? text)
        case 4: return text + text
        default: return plain(text)
        }
    }

    /// libFuzzer's own mutation of a text, its dictionary included.
    static func plain(_ text: String) -> String {
        var bytes = Array(text.utf8)
        let count = bytes.count
        bytes += [UInt8](repeating: 0, count: 64)
        let maximum = bytes.count
        let size = bytes.withUnsafeMutableBufferPointer { LLVMFuzzerMutate($0.baseAddress, count, maximum) }
        return String(decoding: bytes[..<size], as: UTF8.self)
    }
}
