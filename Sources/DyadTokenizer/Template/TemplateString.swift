/// A string while a template runs: its scalars, each of which says whether it came from the conversation.
///
/// Every operation on strings moves or copies scalars, so that what came from a message can be told from what the
/// template wrote wherever it ends up (``RenderedPrompt``). Comparisons and searches do not see the mark.
struct TemplateString: Sendable, Hashable {
    /// Scalar values; those of the conversation with ``contentMark``.
    var scalars: [UInt32]
    /// Whether the string counts as HTML that needs no escapes, as the filters `safe` and `escape` make it.
    var isMarkup = false

    /// The bit that marks a scalar of the conversation.
    static let contentMark: UInt32 = 1 << 31
    /// What is left of a scalar without the mark.
    static let scalarMask: UInt32 = 0x1f_ffff

    init(_ scalars: [UInt32], isMarkup: Bool = false) {
        self.scalars = scalars
        self.isMarkup = isMarkup
    }

    init(_ text: String, isContent: Bool = false) {
        let mark = isContent ? Self.contentMark : 0
        scalars = text.unicodeScalars.map { $0.value | mark }
    }

    var count: Int { scalars.count }

    /// The string without marks.
    var text: String {
        var view = String.UnicodeScalarView()
        for value in scalars { view.append(Self.scalar(value)) }
        return String(view)
    }

    static func scalar(_ value: UInt32) -> Unicode.Scalar { Unicode.Scalar(value & scalarMask) ?? "\u{fffd}" }

    static func == (left: TemplateString, right: TemplateString) -> Bool {
        left.scalars.count == right.scalars.count
            && zip(left.scalars, right.scalars).allSatisfy { ($0 ^ $1) & scalarMask == 0 }
    }

    func hash(into hasher: inout Hasher) {
        for value in scalars { hasher.combine(value & Self.scalarMask) }
    }
}

/// What a chat template wrote, and which of it came from the conversation.
public struct RenderedPrompt: Sendable, Equatable {
    /// The text of the prompt.
    public let text: String
    /// The parts of the text's UTF-8 that came from messages and variables, or that the template made of their
    /// values: in order, apart from each other. Special tokens that are spelt within one of them are no tokens.
    public let contentRanges: [Range<Int>]

    /// A prompt from its parts; ranges that are out of order, empty or beyond the text are put right.
    public init(text: String, contentRanges: [Range<Int>]) {
        self.text = text
        let count = text.utf8.count
        var merged: [Range<Int>] = []
        for range in contentRanges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let range = range.clamped(to: 0..<count)
            guard !range.isEmpty else { continue }
            if let last = merged.last, last.upperBound >= range.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        self.contentRanges = merged
    }

    /// Joins what a template wrote.
    init(_ pieces: [TemplateString]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pieces.reduce(0) { $0 + $1.count })
        var ranges: [Range<Int>] = []
        var start: Int?
        for piece in pieces {
            for value in piece.scalars {
                let isContent = value & TemplateString.contentMark != 0
                if isContent != (start != nil) {
                    if let first = start { ranges.append(first..<bytes.count) }
                    start = isContent ? bytes.count : nil
                }
                UTF8.append(value & TemplateString.scalarMask, to: &bytes)
            }
        }
        if let first = start { ranges.append(first..<bytes.count) }
        text = String(decoding: bytes, as: UTF8.self)
        contentRanges = ranges
    }
}
