/// What the steps of a tokenizer may cost together, so that a text of moderate length takes moderate time and memory
/// whatever a model's file asks for. Tokenizers of models stay far below.
enum Work {
    /// Pattern steps (``Pattern/size``): the time is proportional to them at worst.
    static let largestSize = 4096
    /// How many times as long the steps may make a text.
    static let largestGrowth = 64.0
    /// The steps of a decoder, which every token of the vocabulary meets.
    static let largestDecoder = 64
}
