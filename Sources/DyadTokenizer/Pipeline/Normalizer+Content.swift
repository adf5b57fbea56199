extension Normalizer {
    /// The rewritten text with the ranges of its content, given those of the text.
    ///
    /// Template and content are rewritten apart where that gives the same text, and almost always it does; else
    /// content is kept from composing with the template around it, so that every byte still has an owner.
    func apply(to text: String, content: ContentRanges) -> (text: String, content: ContentRanges) {
        guard !content.ranges.isEmpty else { return (apply(to: text), content) }
        if content.ranges == [0..<text.utf8.count] {
            let normalized = apply(to: text)
            return (normalized, ContentRanges(normalized.isEmpty ? [] : [0..<normalized.utf8.count]))
        }
        var runs = Self.runs(of: text, content)
        apply(to: &runs)
        var result = ""
        var ranges: [Range<Int>] = []
        for run in runs where !run.text.isEmpty {
            let start = result.utf8.count
            result += run.text
            guard run.isContent else { continue }
            if let last = ranges.last, last.upperBound == start {
                ranges[ranges.count - 1] = last.lowerBound..<result.utf8.count
            } else {
                ranges.append(start..<result.utf8.count)
            }
        }
        return (result, ContentRanges(ranges))
    }

    private static func runs(of text: String, _ content: ContentRanges) -> [(text: String, isContent: Bool)] {
        let bytes = Array(text.utf8)
        var runs: [(text: String, isContent: Bool)] = []
        var end = 0
        for range in content.ranges {
            if end < range.lowerBound {
                runs.append((String(decoding: bytes[end..<range.lowerBound], as: UTF8.self), false))
            }
            runs.append((String(decoding: bytes[range], as: UTF8.self), true))
            end = range.upperBound
        }
        if end < bytes.count { runs.append((String(decoding: bytes[end...], as: UTF8.self), false)) }
        return runs
    }

    private func apply(to runs: inout [(text: String, isContent: Bool)]) {
        switch self {
        case .sequence(let parts): for part in parts { part.apply(to: &runs) }
        case .prepend(let prefix):
            if runs.contains(where: { !$0.text.isEmpty }) { runs.insert((prefix, false), at: 0) }
        case .strip(let left, let right):
            if left {
                for place in runs.indices {
                    runs[place].text = Normalizer.strip(left: true, right: false).apply(to: runs[place].text)
                    if !runs[place].text.isEmpty { break }
                }
            }
            if right {
                for place in runs.indices.reversed() {
                    runs[place].text = Normalizer.strip(left: false, right: true).apply(to: runs[place].text)
                    if !runs[place].text.isEmpty { break }
                }
            }
        default: for place in runs.indices { runs[place].text = apply(to: runs[place].text) }
        }
    }
}
