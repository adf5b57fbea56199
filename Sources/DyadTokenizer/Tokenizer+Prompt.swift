extension Tokenizer {
    /// The ids of a plain prompt that a model is to continue: what the model's post-processor puts before a text (BOS
    /// for Llama and Gemma; nothing for SmolLM and Qwen), then the text. What it puts after a text is left out, for the
    /// text is not at its end; a prompt that is written with the tokens in front does not get them twice.
    /// - Complexity: as ``encode(_:parseSpecial:addSpecial:)``.
    public func encodePrompt(_ text: String) -> [Int32] {
        let ids = encode(text, parseSpecial: true)
        return ids.starts(with: parts.prefix) ? ids : parts.prefix + ids
    }
}
