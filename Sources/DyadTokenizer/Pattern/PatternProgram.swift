import DyadFormats

/// A compiled regular expression.
struct Pattern: Sendable {
    /// The source.
    let source: String
    /// The number of its steps, to which the time of matching is proportional at worst.
    var size: Int { expanded.size }
    /// The steps of ``PatternMatcher``.
    let program: PatternProgram
    /// The classes that its steps refer to.
    let classes: [ScalarClass]
    /// The same in steps of single scalars, for ``PatternTable``.
    let expanded: PatternTableLayout

    /// Whether it can match no scalar at all.
    let matchesEmpty: Bool

    /// Compiles a pattern.
    /// - Throws: what `failure` makes of a complaint about the pattern.
    init(_ source: String, failure: @escaping (_ found: String) -> DyadError) throws(DyadError) {
        let named = { (found: String) in
            failure("\(found) in the pattern '\(source.prefix(120))'" + (source.count > 120 ? " …" : ""))
        }
        var syntax = PatternSyntax(source, failure: named)
        try self.init(try syntax.parse(), source: source, failure: named)
    }

    /// Compiles the parts of a pattern; `source` is what it is called.
    init(
        _ node: PatternNode, source: String, failure: @escaping (_ found: String) -> DyadError
    ) throws(DyadError) {
        self.source = source
        matchesEmpty = node.matchesEmpty
        var compiler = PatternCompiler(expandsRuns: false, failure: failure)
        program = try compiler.compile(node)
        classes = compiler.sets.map { ScalarClass($0) }
        var expanding = PatternCompiler(expandsRuns: true, failure: failure)
        expanded = PatternTableLayout(try expanding.compile(node), classes: expanding.sets.map { ScalarClass($0) })
    }
}
