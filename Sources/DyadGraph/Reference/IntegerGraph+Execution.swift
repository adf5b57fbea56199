import DyadFormats

/// What everyone needs who executes a graph operation by operation.
extension IntegerGraph {
    /// By operation, the tensors that nobody reads after it.
    public var deadTensors: [[TensorID]] {
        var lastUse = tensors.map { _ in 0 }
        for (index, operation) in operations.enumerated() {
            let definition = operation.kind.definition
            for tensor in definition.inputs + definition.outputs { lastUse[tensor] = index }
        }
        var dead: [[TensorID]] = operations.map { _ in [] }
        for (tensor, index) in lastUse.enumerated() { dead[index].append(tensor) }
        return dead
    }

    /// Throws for an id outside the vocabulary, and where `tokens` do not fit behind `position`.
    func checkTokens(_ tokens: [Int32], position: Int) throws(DyadError) {
        for token in tokens where token < 0 || token >= vocabularySize {
            throw DyadError(
                .mismatch, subject: "token ids", found: "the id \(token)", expected: "0 ..< \(vocabularySize)",
                remedy: "Tokenise the text with this model's own tokenizer.")
        }
        guard tokens.count <= maximumContext - position else {
            throw DyadError(
                .failed, subject: "context", found: "\(tokens.count) tokens at position \(position)",
                expected: "at most \(maximumContext - position) more (the program holds \(maximumContext))",
                remedy: "Shorten the prompt, start a new session, or quantise with a larger context.")
        }
    }
}
