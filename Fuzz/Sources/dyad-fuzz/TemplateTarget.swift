import DyadFormats
import DyadTokenizer
import Foundation

/// A chat template: parsed and rendered with conversations of every form.
enum TemplateTarget: FuzzTarget {
    static let name = "template"

    private static let messages: [ChatMessage] = [
        ChatMessage(role: "system", content: "Be brief."),
        ChatMessage(role: "user", content: "  Caf\u{E9} <b>\"x\"</b> \u{1F600}\nline two\n"),
        ChatMessage(
            fields: JSONObject([
                ("role", "assistant"), ("content", nil),
                (
                    "tool_calls",
                    [
                        [
                            "type": "function",
                            "function": ["name": "f", "arguments": ["a": 1, "b": [1, .number(2.5), nil, true]]],
                        ]
                    ]
                ),
            ])),
        ChatMessage(role: "tool", content: "{\"r\": 1}"), ChatMessage(role: "user", content: ""),
    ]
    private static let variables = JSONObject([
        ("bos_token", "<s>"), ("eos_token", "</s>"), ("enable_thinking", true), ("n", 7), ("x", .number(1.5)),
        ("words", ["b", "a", "C", "a"]),
        (
            "tools",
            [
                [
                    "type": "function",
                    "function": [
                        "name": "f", "description": "d",
                        "parameters": ["type": "object", "properties": ["a": ["type": "integer"]]],
                    ],
                ]
            ]
        ),
    ])

    static func run(_ input: UnsafeRawBufferPointer) {
        attempt { () throws(DyadError) in
            let template = try ChatTemplate(source: String(decoding: input, as: UTF8.self))
            let now = Date(timeIntervalSince1970: 1_700_000_000)
            attempt { () throws(DyadError) in
                _ = try template.render(messages: messages, variables: variables, now: now)
            }
            attempt { () throws(DyadError) in
                _ = try template.render(messages: [], addGenerationPrompt: false, now: now)
            }
        }
    }

    static func seeds() throws -> [[UInt8]] {
        [
            "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>\n' + (message.content or '') | trim }}{% if loop.last %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
            "{%- set ns = namespace(found=false, i=0) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.i = ns.i + 1 -%}{{ loop.index0 ~ ':' ~ m['content'] }}{%- endfor -%}{{ ns.i }}",
            "{% macro show(x, y=2) %}[{{ x }}/{{ y }}]{% endmacro %}{{ show(1) }}{{ show(y=n, x='q') }}{% call(z) show(3) %}{{ z }}{% endcall %}",
            "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') | upper }}{{ tools | tojson(indent=2) }}",
            "{{ words | sort | unique | list }}{{ words | groupby('x') }}{{ range(0, 10, 3) | sum }}{{ 'a,b'.split(',')[::-1] }}{{ {'a': 1}.items() | list }}",
            "{% with a = 1, b = [1, 2] %}{{ a if b is defined and b | length > 1 else 'no' }}{% endwith %}{# comment #}{% raw %}{{ x }}{% endraw %}",
            "{{ '%s-%05.1f' | format('a', x) }}{{ '%d' % n }}{{ n // 2 ** 3 % 5 }}{{ -n | abs | round(1, 'floor') }}{{ 'abc' is string }}{{ raise_exception('no') }}",
            "{{ messages[1].content | indent(4, true) | replace('a', 'b') | wordwrap(10) | truncate(20) }}{{ strftime_now('%d %b %Y') }}",
            "{% for k, v in {'a': [1, 2]}.items() recursive %}{{ k }}{% break %}{% else %}none{% endfor %}{% filter upper %}x{% endfilter %}",
        ].map { Array($0.utf8) }
    }

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        if Int.random(in: 0..<4, using: &random) == 0 { return nil }
        let new = Array(
            (Bool.random(using: &random) ? statement(2, using: &random) : expression(3, using: &random)).utf8)
        // Before a brace, a bar, a space or a bracket a piece has the best chance to fit.
        let borders = input.indices.filter { " {}|()[].,%'~".utf8.contains(input[$0]) } + [input.count]
        let start = borders.randomElement(using: &random) ?? 0
        var end = start
        if Bool.random(using: &random) {
            end = borders.filter { $0 >= start && $0 <= start + 30 }.randomElement(using: &random) ?? start
        }
        return input[..<start] + new + input[end...]
    }

    private static let filters = [
        "trim", "upper", "lower", "title", "capitalize", "string", "safe", "e", "replace('a', 'bb')",
        "replace('', 'b')", "indent", "indent(n)", "indent(-1)",
        "indent(width=2, first=true)", "indent('ab')", "tojson", "tojson(indent=1)",
        "tojson(ensure_ascii=true, sort_keys=true)", "default('d', true)", "length", "int", "float",
        "abs", "list", "first", "last", "reverse", "join", "join('-')", "join(', ', attribute='role')", "unique",
        "sort", "sort(reverse=true, attribute='role')", "min", "max",
        "sum", "sum(attribute='n')", "map('upper')", "map(attribute='role')", "select('string')", "reject('none')",
        "selectattr('role')", "rejectattr('role', 'in', words)",
        "items", "dictsort", "dictsort(by='value')", "groupby('role')", "batch(2)", "slice(2)", "round",
        "round(2, 'ceil')", "wordcount", "truncate(5)", "center(20)", "format(1)",
        "urlencode", "filesizeformat", "pprint", "striptags", "xmlattr", "attr('role')", "random", "forceescape",
        "wordwrap(3)", "strip", "select", "indent(9223372036854775807)",
    ]
    private static let values = [
        "messages", "tools", "n", "x", "words", "bos_token", "loop", "m", "ns", "true", "none", "undefined_name", "0",
        "1", "-1", "9223372036854775807", "1.5", "1e308", "''", "'a'",
        "'ab' * 3", "[]", "[1, 'a', none]", "{}", "{'a': n, 1: x}", "(1, 2)", "range(5)", "range(n)", "range(100000)",
        "namespace(a=1)", "dict(a=words)", "messages[0]", "messages[-1].content",
        "m.role", "m['content']", "words[1:]", "words[::-1]", "'abc'[n]", "strftime_now('%Y')", "cycler(1, 2)",
        "joiner()", "lipsum()", "self", "caller()",
    ]
    private static let numbers = [
        "0", "1", "-1", "2", "3", "7", "30", "64", "100", "1000", "65536", "99999", "1000000", "2147483647",
        "2147483648",
        "-2147483649", "9223372036854775807", "-9223372036854775808", "1.5", "-0.5", "1e308", "n", "x", "none", "true",
        "'a'",
    ]
    /// Calls whose work or result grows with a number.
    private static let sized = [
        " | indent(#)", " | indent(width=#, first=true, blank=true)", " | center(#)", " | truncate(#)",
        " | wordwrap(#)", " | round(#)",
        " | batch(#, 'a')", " | slice(#)", " | tojson(indent=#)", " | int(#)", " | sum(start=#)", " * #", " ~ 'a' * #",
        "[#:]", "[:#:#]", "[::#]",
        "[#]", ".center(#)", ".zfill(#)", ".ljust(#)", ".split('a', #)", ".replace('', 'ab', #)", ".splitlines(#)",
        ".pop(#)", ".insert(#, 1)",
        " ** #", " // #", " % #", " | list * #", " | format(#)", " | default(range(#))", " | join('a' * #)",
        " | replace('a', 'b' * #)",
    ]
    private static let methods = [
        "strip()", "lstrip('a')", "split()", "split('a', 1)", "rsplit(none, 1)", "splitlines(true)", "startswith('a')",
        "endswith(('a', 'b'))", "replace('a', 'b', 1)", "upper()",
        "title()", "find('a')", "count('')", "count('a')", "join(words)", "isdigit()", "items()", "keys()", "values()",
        "get('a')", "get('a', n)", "append(1)", "pop()", "update({})",
        "format(1, a=2)", "removeprefix('a')", "zfill(5)", "encode()", "index('a')", "cycle(1, 2)", "changed(1)",
        "copy()", "__class__", "insert(0, 1)", "ljust(10)", "center(10)",
    ]
    private static let growth = [
        "ns.a + ns.a", "ns.a ~ ns.a", "[ns.a]", "[ns.a, ns.a]", "{'a': ns.a}", "{'a': ns.a, 'b': ns.a}", "(ns.a, m)",
        "ns.a ~ 'ab'", "'a' ~ ns.a",
        "ns.a + 'b'", "ns.a | replace('a', 'aa')", "ns.a | e", "ns.a | upper", "[ns.a] | list",
        "ns.a.split('a') | join('ba')", "ns.a | tojson", "dict(a=ns.a)",
        "ns.a * 2", "namespace(a=ns.a)", "ns.a | indent(4, true)", "(ns.a | string)[1:]", "ns.a | list",
        "[ns.a] + [ns.a]", "ns.a ~ m", "ns.a if m else x",
    ]
    private static let tests = [
        "defined", "none", "string", "mapping", "iterable", "sequence", "number", "odd", "divisibleby(3)", "in words",
        "equalto(1)", "sameas(x)", "callable", "boolean", "lower",
    ]
    private static let operators = [
        "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "and", "or", "in", "not in", "is", "if",
    ]

    private static func expression(_ depth: Int, using random: inout SeededRandom) -> String {
        func one(_ list: [String]) -> String { list.randomElement(using: &random) ?? "" }
        if depth == 0 { return one(values) }
        func inner() -> String { expression(depth - 1, using: &random) }
        switch Int.random(in: 0..<12, using: &random) {
        case 10, 11:
            let parts = one(sized).split(separator: "#", omittingEmptySubsequences: false)
            return inner() + parts.dropFirst().reduce(parts[0]) { $0 + one(numbers) + $1 }
        case 0, 1: return inner() + " | " + one(filters)
        case 2: return inner() + "." + one(methods)
        case 3, 4: return "(" + inner() + " " + one(operators) + " " + inner() + ")"
        case 5: return inner() + "[" + inner() + "]"
        case 6: return inner() + " is " + (Bool.random(using: &random) ? "not " : "") + one(tests)
        case 7: return inner() + " if " + inner() + " else " + inner()
        case 8: return "[" + inner() + ", " + inner() + "]"
        default: return inner()
        }
    }

    private static func statement(_ depth: Int, using random: inout SeededRandom) -> String {
        func inner() -> String { depth == 0 ? "t" : statement(depth - 1, using: &random) }
        let value = expression(2, using: &random)
        switch Int.random(in: 0..<14, using: &random) {
        case 0: return "{% for m in " + value + " %}" + inner() + "{% endfor %}"
        case 1: return "{% if " + value + " %}" + inner() + "{% elif n %}b{% else %}" + inner() + "{% endif %}"
        case 2: return "{% set n = " + value + " %}"
        case 3: return "{% set x %}" + inner() + "{% endset %}"
        case 4: return "{% macro f(m, k=1) %}" + inner() + "{% endmacro %}{{ f(" + value + ") }}"
        // What grows step by step, and is then used as a whole.
        case 5, 6, 7:
            let grown = growth.randomElement(using: &random) ?? ""
            let count = ["20", "40", "64", "1000", "20000", "99999"].randomElement(using: &random) ?? "64"
            let use = [" | ", "."].randomElement(using: &random) ?? " | "
            let call = (use == "." ? methods : filters).randomElement(using: &random) ?? ""
            return "{% set ns = namespace(a='a') %}{% for m in range(" + count + ") %}{% set ns.a = " + grown
                + " %}{% endfor %}"
                + (Bool.random(using: &random) ? "{{ ns.a }}" : "{{ ns.a" + use + call + " }}") + inner()
        case 8: return "{% with m = " + value + " %}" + inner() + "{% endwith %}"
        case 9: return "{% for a, b in " + value + " %}" + inner() + "{% continue %}{% endfor %}"
        case 10: return "{% macro f(m) %}{{ f(m) }}{% endmacro %}{{ f(1) }}"
        default: return "{{ " + value + " }}" + inner()
        }
    }
}
