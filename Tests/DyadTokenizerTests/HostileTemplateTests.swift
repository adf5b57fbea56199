import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// The processor time of this thread in seconds: what other processes do does not count.
enum ThreadTime {
    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

/// Whatever a template says, it ends soon, with text or with an error.
@Suite struct HostileTemplateTests {
    /// Values that are enormous, or deep, or shared so often that they would be if they were written out.
    static let operands: [(name: String, source: String)] = [
        ("a long text", "{% set v = 'a' * 60000 %}"), ("text beyond ASCII", "{% set v = 'ß' * 20000 %}"),
        ("line feeds", "{% set v = '\\n' * 20000 %}"), ("a long list", "{% set v = range(5000)|list %}"),
        ("the largest integer", "{% set v = 9223372036854775807 %}"),
        ("the smallest integer", "{% set v = -9223372036854775807 - 1 %}"), ("a large decimal", "{% set v = 1e308 %}"),
        (
            "a deep list",
            "{% set ns = namespace(l=['x']) %}{% for i in range(190) %}{% set ns.l = [ns.l] %}{% endfor %}{% set v = ns.l %}"
        ),
        (
            "a doubled list",
            "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{% set v = ns.l %}"
        ),
        (
            "a doubled tuple",
            "{% set ns = namespace(l=('x',)) %}{% for i in range(40) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}{% set v = ns.l %}"
        ),
        (
            "a doubled mapping",
            "{% set ns = namespace(l={'k': 1}) %}{% for i in range(40) %}{% set ns.l = {'a': ns.l, 'b': ns.l} %}{% endfor %}{% set v = ns.l %}"
        ),
    ]

    /// Runs a template with a small budget, by which the time that it may take is measured.
    static func expectItEnds(_ source: String, share: Int = 64, seconds: Double = 0.5) {
        let start = ThreadTime.now
        var budget = TemplateInterpreter.Budget()
        budget.work /= share
        budget.bytes /= share
        let interpreter = TemplateInterpreter(clock: TemplateClock(now: Date()), budget: budget)
        let result = Result { () throws(DyadError) in
            try ChatTemplate(source: source).render(interpreter, messages: [ChatMessage(role: "user", content: "hi")])
        }
        if case .success(let prompt) = result { #expect(prompt.text.utf8.count <= 4 * TemplateInterpreter.outputLimit) }
        #expect(ThreadTime.now - start < seconds, "\(source.prefix(300))")
    }

    @Test(arguments: operands.map(\.source))
    func everyOperationOnItEnds(_ operand: String) {
        let large = ["v", "9223372036854775807", "-9223372036854775807 - 1", "'a' * 30000"]
        var expressions: [String] = []
        for (name, arguments) in TemplateInterpreter.filterArguments.sorted(by: { $0.key < $1.key }) {
            expressions.append("v|\(name)")
            let needed = ["replace": "'a', 'b'", "groupby": "0", "batch": "3", "slice": "3"][name]
            if let needed { expressions.append("v|\(name)(\(needed))|list") }
            for argument in arguments {
                for value in large { expressions.append("v|\(name)(\(argument)=\(value))|string") }
            }
        }
        for (name, count) in TemplateInterpreter.tests.sorted(by: { $0.key < $1.key })
        where name.first?.isLetter == true {
            expressions.append(count == 0 ? "v is \(name)" : "v is \(name)(v)")
        }
        for mark in ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "not in"] {
            for other in ["v", "9223372036854775807", "-1", "'%9223372036854775807d'", "[v]", "(v, v)"] {
                expressions += ["v \(mark) \(other)", "\(other) \(mark) v"]
            }
        }
        expressions += [
            "v[::-1]", "v[9223372036854775807:]", "v[::-9223372036854775807]", "v[:-9223372036854775807 - 1]", "v[v]",
            "{v: 1}", "{(v, v): 1}", "-v", "v|tojson(indent=v)", "v|tojson(separators=(v, v))", "v|map('string')|list",
            "v|map('replace', 'a', v)|list", "v|select('in', v)|list", "[v, v]|sort", "[v, v]|unique|list", "range(v)",
            "range(v, 0, -1)", "'%*d' % (v, 1)", "'%.*f' % (v, 1.5)", "'{:{}}'.format(1, v)",
            "('{0}' * 100000).format(v)", "('{0}' * 100000).format('a' * 10000)", "('%s' * 10000) % ((v,) * 10000)",
            "namespace(a=v)", "dict(v)", "cycler(v, v).next()", "strftime_now(v)",
            "1.5|round(v)", "7|round(v)", "'a'.center(v)", "'a'.zfill(v)", "('\\t' * 9).expandtabs(v)", "[v] * 50000",
        ]
        for expression in expressions { Self.expectItEnds(operand + "{{ \(expression) }}") }
    }

    @Test(arguments: operands.prefix(3).map(\.source))
    func everyMethodOfItEnds(_ operand: String) {
        for name in TemplateInterpreter.stringMethods.sorted() {
            for arguments in [
                "", "v", "v, 'b'", "'a', v", "'', v", "9223372036854775807, 'a'", "-9223372036854775807 - 1",
                "none, 9223372036854775807",
            ] {
                Self.expectItEnds(operand + "{{ v.\(name)(\(arguments)) }}")
            }
            Self.expectItEnds(operand + "{{ 'b'.\(name)(v, v) }}")
        }
    }

    @Test func nothingThatGrowsWhileItRunsGetsFar() {
        let loops = [
            "set ns.l = [ns.l]", "set ns.l = (ns.l, ns.l)", "set ns.l = {'a': ns.l}", "set ns.l = namespace(l=ns.l)",
            "set ns.l = ns", "set ns.l = [ns.l]|map('list')", "set ns.l = cycler(ns.l)", "set ns.l = joiner(ns.l)",
            "set ns.l = ns.l.upper", "set ns.l = ns.l ~ ns.l", "set ns.l = ns.l ~ 'x'", "set ns.l = [ns.l] + [i]",
            "set ns.l = ns.l * 2", "set ns.l = ns.l|replace('x', 'xx')", "set ns.l = ns.l|tojson",
            "set ns.l = ns.l|string",
            "set ns.l %}{{ ns.l }}x{{ ns.l }}{% endset",
            "set p = ns.l %}{% macro m() %}{{ p }}{% endmacro %}{% set ns.l = m",
            "for j in [ns.l] %}{% set ns.l = loop %}{% endfor", "set ns.l = [ns.l, ns.l]|batch(1)|list",
            "set ns.l = dict(a=ns.l)",
            "set ns.l = [ns.l]|groupby(0)", "set ns.l = range(100000)|list", "set ns.l = ns.l.split('y')",
        ]
        for body in loops {
            Self.expectItEnds(
                "{% set ns = namespace(l='x') %}{% for i in range(90000) %}{% \(body) %}{% endfor %}{{ ns.l }}{{ ns }}",
                share: 8, seconds: 3)
        }
        for source in [
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% for x in [1, 1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
            "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}",
            "{% macro m(x) %}{% filter upper %}{{ m([x, x]) }}{% endfilter %}{% endmacro %}{{ m(1) }}",
            "{% for a in range(100000) %}{{ 'x' * 100000 }}{% endfor %}",
            "{{ ([range(100000)] * 100000)|map('sum')|list }}",
            "{{ (['a' * 10000] * 100000)|join }}", "{{ ('a' * 50000 ~ 'b') in ('a' * 2000000) }}",
            (0..<4000).map { "{% set a\($0) = 1 %}{% call m() %}{% endcall %}" }.joined(),
        ] { Self.expectItEnds(source, share: 8, seconds: 3) }
    }

    @Test func nothingThatIsParsedRecursesFar() {
        let repeated: [(String, String, String)] = [
            ("{{ ", "(", ""), ("{{ ", "[", ""), ("{{ ", "{1:", ""), ("{{ ", "f(", ""), ("{{ ", "not ", "1 }}"),
            ("{{ ", "-", "1 }}"),
            ("{{ ", "+", "1 }}"), ("{{ 1", "+1", " }}"), ("{{ x", "[0]", " }}"), ("{{ x", ".x", " }}"),
            ("{{ x", "()", " }}"),
            ("{{ x", "|abs", " }}"), ("{{ 1", " == 1", " }}"), ("{{ 1", " if 1 else 1", " }}"),
            ("{{ 1", " is odd", " }}"),
            ("", "{% if 1 %}", ""), ("", "{% for a in b %}", ""), ("", "{% call f() %}", ""),
            ("", "{% macro m() %}", ""),
            ("", "{% filter upper %}", ""), ("", "{% set a %}", ""), ("", "{% with %}", ""), ("{% for ", "(", "a"),
            ("{% set ", "(", "a"),
            ("", "{{ ", ""), ("", "{#", ""), ("", "{%-", ""), ("{{ '", "\\x41", "' }}"), ("{{ ", "9", " }}"),
            ("{{ ", "'a' ", " }}"),
            ("{% filter ", "upper|", "upper %}{% endfilter %}"), ("{% if 1 %}", "{% elif 0 %}", "{% endif %}"),
        ]
        for (start, part, end) in repeated {
            Self.expectItEnds(start + String(repeating: part, count: 900_000 / part.utf8.count) + end, seconds: 6)
        }
    }
}
