/// An expression of a template.
indirect enum TemplateExpression: Sendable {
    case literal(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case map([(TemplateExpression, TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, from: TemplateExpression?, to: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case not(TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case arithmetic(String, TemplateExpression, TemplateExpression)
    /// `a < b <= c`: every neighbouring pair must hold.
    case comparison(TemplateExpression, [(operation: String, right: TemplateExpression)])
    case conditional(TemplateExpression, if: TemplateExpression, else: TemplateExpression?)
}

/// The arguments of a call, a filter or a test.
struct TemplateArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
    /// `*values` and `**mapping`.
    var unpacked: TemplateExpression?
    var unpackedNames: TemplateExpression?
}

/// A statement of a template, with the line it begins in.
struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(TemplateString)
        case output(TemplateExpression)
        case condition([(TemplateExpression, [TemplateStatement])], else: [TemplateStatement])
        case loop(TemplateLoop)
        case set(TemplateTarget, TemplateExpression)
        /// `{% set target | filters %}body{% endset %}`
        case setBlock(TemplateTarget, TemplateFilters, [TemplateStatement])
        case macro(TemplateMacro)
        /// `{% call(parameters) callee(arguments) %}body{% endcall %}`
        case callBlock(TemplateMacro, TemplateExpression, TemplateArguments)
        case filterBlock(TemplateFilters, [TemplateStatement])
        /// The statements inside, in a scope of their own: `generation`.
        case scope([TemplateStatement])
        /// `with`: the values are those outside of it.
        case with([(TemplateTarget, TemplateExpression)], [TemplateStatement])
        case breakLoop
        case continueLoop
    }

    var kind: Kind
    var line: Int
}

/// Filters that are applied to a block's text, one after the other.
typealias TemplateFilters = [(name: String, arguments: TemplateArguments)]

/// What a value is assigned to.
indirect enum TemplateTarget: Sendable {
    case name(String)
    /// The elements of the value, one each.
    case targets([TemplateTarget])
    /// An attribute of a namespace.
    case attribute(String, String)
}

/// `{% for target in items if condition %}body{% else %}otherwise{% endfor %}`
struct TemplateLoop: Sendable {
    var target: TemplateTarget
    var items: TemplateExpression
    var condition: TemplateExpression?
    /// Whether the body may call `loop(items)`.
    var isRecursive: Bool
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
}

/// `{% macro name(parameters) %}body{% endmacro %}`
struct TemplateMacro: Sendable {
    var name: String
    var parameters: [(name: String, value: TemplateExpression?)]
    var body: [TemplateStatement]
    /// Whether the body reads `varargs`, `kwargs` or `caller`: only then may a call give more than the parameters.
    var readsMore = false
    var readsNames = false
    var readsCaller = false
}
