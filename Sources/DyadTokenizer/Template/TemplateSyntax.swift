import DyadFormats

/// An expression of a template.
indirect enum TemplateExpression: Sendable {
    case literal(JSONValue)
    case name(String)
    case list([TemplateExpression])
    case map([(TemplateExpression, TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, from: TemplateExpression?, to: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case negative(TemplateExpression)
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
}

/// A statement of a template, with the line it begins in.
struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case condition([(TemplateExpression, [TemplateStatement])], else: [TemplateStatement])
        case loop(TemplateLoop)
        case set(TemplateTarget, TemplateExpression)
        case setBlock(TemplateTarget, [TemplateStatement])
        case macro(TemplateMacro)
        /// `generation` and `with` without variables: the statements inside, in a scope of their own if `isScope`.
        case block([TemplateStatement], isScope: Bool)
        case breakLoop
        case continueLoop
    }

    var kind: Kind
    var line: Int
}

/// What a value is assigned to.
enum TemplateTarget: Sendable {
    case name(String)
    /// The elements of the value, one each.
    case names([String])
    /// An attribute of a namespace.
    case attribute(String, String)
}

/// `{% for target in items if condition %}body{% else %}otherwise{% endfor %}`
struct TemplateLoop: Sendable {
    var target: TemplateTarget
    var items: TemplateExpression
    var condition: TemplateExpression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
}

/// `{% macro name(parameters) %}body{% endmacro %}`
struct TemplateMacro: Sendable {
    var name: String
    var parameters: [(name: String, value: TemplateExpression?)]
    var body: [TemplateStatement]
}
