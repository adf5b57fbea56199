import DyadFormats

/// A compiled regular expression.
struct Pattern: Sendable {
    /// The source.
    let source: String
    /// The steps of ``PatternMatcher``.
    let program: PatternProgram
    /// The classes that its steps refer to.
    let classes: [ScalarClass]
    /// The same in steps of single scalars, for ``PatternTable``.
    let expanded: PatternTableLayout

    /// Compiles a pattern.
    /// - Throws: what `failure` makes of a complaint about the pattern.
    init(_ source: String, failure: @escaping (_ found: String) -> DyadError) throws(DyadError) {
        self.source = source
        var syntax = PatternSyntax(source, failure: failure)
        let node = try syntax.parse()
        var compiler = PatternCompiler(expandsRuns: false, failure: failure)
        program = try compiler.compile(node)
        classes = compiler.sets.map { ScalarClass($0) }
        var expanding = PatternCompiler(expandsRuns: true, failure: failure)
        expanded = PatternTableLayout(try expanding.compile(node), classes: expanding.sets.map { ScalarClass($0) })
    }
}
