/// Models in several files, as llama.cpp's gguf-split writes them: `NAME-00001-of-00003.gguf` and its like, with
/// `split.no`, `split.count` and `split.tensors.count` in each. The first has the model's metadata.
extension GGUFFile.Contents {
    /// The number of files of the model. Names have five digits for it.
    private var count: Int { min(value("split.count")?.integer ?? 1, 99_999) }
    /// Which of them this is, from 0.
    private var number: Int { min(max(value("split.no")?.integer ?? 0, 0), 99_999) }

    /// The other files of a model whose first this is; none for a model in one file.
    /// - Throws: ``DyadError``: `usage` if this is not the first; `missing` or `mismatch` naming the part.
    func furtherParts() throws(DyadError) -> [GGUFFile.Contents] {
        guard count > 1 else { return [] }
        guard number == 0 else {
            let first = Self.name(file.path, number, count).map { "Name its first file, \($0(0))." }
            throw failure(
                .usage, file.path, "split.no",
                found: "part \(number + 1) of a model that is split into \(count) files",
                expected: "the first part", remedy: first ?? "Name its first file, which ends in -00001-of-….gguf.")
        }
        guard let name = Self.name(file.path, 0, count) else {
            throw failure(
                .mismatch, file.path, "split.count",
                found: "the first part of a model that is split into \(count) files",
                expected: "a name that ends in \(Self.ending(0, count)), by which the others are found",
                remedy: "Give all parts the names under which they were written.")
        }
        var parts: [GGUFFile.Contents] = []
        for index in 1..<count { parts.append(try part(name(index), index)) }
        let total = parts.reduce(records.count) { $0 + $1.records.count }
        if let expected = value("split.tensors.count")?.integer, expected != total {
            throw failure(
                .mismatch, file.path, "split.tensors.count", found: "\(total) tensors in the \(count) parts",
                expected: "\(expected)", remedy: "One of the parts is another model's: take all from one place.")
        }
        return parts
    }

    private func part(_ path: String, _ index: Int) throws(DyadError) -> GGUFFile.Contents {
        guard FileKind(path) != .nothing else {
            throw failure(
                .missing, path, nil, found: "no such file",
                expected: "part \(index + 1) of the \(count) of \(file.path)",
                remedy: "Download it into the same folder.")
        }
        let part = try GGUFFile.Contents(try RandomAccessFile(path))
        guard part.count == count, part.number == index else {
            throw failure(
                .mismatch, path, "split.no", found: "part \(part.number + 1) of \(part.count)",
                expected: "part \(index + 1) of \(count)",
                remedy: "It is another model's part or has another part's name: take all parts from one place.")
        }
        for (key, value) in part.metadata where key != "split.no" {
            guard let mine = self.value(key), mine.string != value.string || mine.double != value.double else {
                continue
            }
            throw failure(
                .mismatch, path, key, found: value.string ?? value.double.map { "\($0)" } ?? "another value",
                expected: mine.string ?? mine.double.map { "\($0)" } ?? "none, as in the first part",
                remedy: "It is another model's part: take all parts from one place.")
        }
        return part
    }

    private func failure(
        _ reason: DyadError.Reason, _ file: String, _ subject: String?, found: String, expected: String, remedy: String
    ) -> DyadError {
        DyadError(reason, file: file, subject: subject, found: found, expected: expected, remedy: remedy)
    }

    private static func ending(_ number: Int, _ count: Int) -> String {
        func five(_ number: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "-\(five(number + 1))-of-\(five(count)).gguf"
    }

    /// The names of all parts by their numbers; nil unless `path` ends as the name of part `number` of `count` does.
    private static func name(_ path: String, _ number: Int, _ count: Int) -> ((Int) -> String)? {
        let ending = ending(number, count)
        guard path.hasSuffix(ending) else { return nil }
        let stem = String(path.dropLast(ending.count))
        return { stem + Self.ending($0, count) }
    }
}
