import DyadFormats

/// Filters of lists and mappings.
extension TemplateInterpreter {
    mutating func listFilter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        switch name {
        case "items", "dictsort":
            if case .undefined = value, name == "items" { return try iterator([]) }
            guard case .map(let map) = value else { throw call.refuses(value, "a mapping") }
            let pairs = try self.pairs(map)
            return name == "items" ? try iterator(pairs) : try dictionarySorted(pairs, call)
        case "reverse":
            if let text = value.string {
                try charge(scalars: text.count)
                return .string(TemplateString(text.scalars.reversed(), isMarkup: text.isMarkup))
            }
        case "first":
            if case .iterator(let number) = value {
                return iterators[number].popFirst() ?? .undefined("the first item")
            }
            if let text = value.string {
                return text.scalars.first.map { self.text([$0]) } ?? .undefined("the first item")
            }
        case "last":
            if case .iterator = value { throw call.refuses(value, "a list") }
            if let text = value.string {
                return text.scalars.last.map { self.text([$0]) } ?? .undefined("the last item")
            }
        default: break
        }
        guard let elements = try elements(of: value) else { throw call.refuses(value, "a list") }
        try spend(elements.count)
        switch name {
        case "list": return try sequence(elements)
        case "first": return elements.first ?? .undefined("the first item")
        case "last": return elements.last ?? .undefined("the last item")
        case "reverse": return try iterator(elements.reversed())
        case "join":
            var items = elements
            if let attribute = call.value(1, "attribute"), !attribute.isNone {
                items = try attributes(attribute, of: elements)
            }
            var separator: [UInt32] = []
            if let given = call.value(0, "d") { separator = try string(given).scalars }
            return text(try joinedTexts(items, separator))
        case "unique": return try unique(elements, call)
        case "sort": return try sequence(try sorted(elements, call))
        case "min", "max":
            let keys = try keys(of: elements, call.value(1, "attribute"), call.isTrue(0, "case_sensitive"))
            guard var best = keys.indices.first else { return .undefined("the \(name) of nothing") }
            for place in keys.indices.dropFirst() {
                let isBetter =
                    try name == "min" ? isLess(keys[place], keys[best]) : isLess(keys[best], keys[place])
                if isBetter { best = place }
            }
            return elements[best]
        case "sum":
            var items = elements
            if let attribute = call.value(0, "attribute"), !attribute.isNone {
                items = try attributes(attribute, of: elements)
            }
            var sum = call.value(1, "start") ?? .integer(0)
            if sum.string != nil { throw call.refuses(sum, "numbers or lists") }
            for item in items {
                try spend(Self.stepCost)
                sum = try arithmetic("+", sum, item)
            }
            return sum
        case "map": return try iterator(try mapped(elements, call))
        case "select", "reject", "selectattr", "rejectattr": return try iterator(try selected(name, elements, call))
        case "groupby": return try grouped(elements, call)
        case "batch": return try batched(elements, call)
        default: return try sliced(elements, call)
        }
    }

    /// The members of a mapping as pairs.
    mutating func pairs(_ map: TemplateMap) throws(DyadError) -> [TemplateValue] {
        var pairs: [TemplateValue] = []
        for (key, value) in zip(map.keys, map.values) { pairs.append(try sequence([key, value], .tuple)) }
        return pairs
    }

    /// One text of the texts of values.
    mutating func joinedTexts(_ items: [TemplateValue], _ separator: [UInt32]) throws(DyadError) -> [UInt32] {
        var parts: [TemplateString] = []
        try charge(elements: items.count)
        for item in items { parts.append(try string(item)) }
        return try joined(parts, separator: separator)
    }

    // MARK: Attributes

    /// A member of a member: `function.name`, a number, or a name alone.
    private mutating func attribute(path: TemplateValue, of element: TemplateValue) throws(DyadError) -> TemplateValue {
        guard let path = path.string else { return try item(element, path) }
        guard path.count <= 1000 else { throw TemplateFailure.value(line, "an attribute of \(path.count)", "1000") }
        var value = element
        for part in TemplateText.split(path.scalars, [0x2e]) {
            try spend(Self.stepCost)
            let isNumber = !part.isEmpty && part.allSatisfy(TemplateText.isDecimal)
            let number = isNumber ? TemplateNumber.integer(part, base: 10) : nil
            value = try item(value, number.map { .integer($0) } ?? text(part))
        }
        return value
    }

    private mutating func attributes(
        _ path: TemplateValue, of elements: [TemplateValue], default standard: TemplateValue? = nil
    )
        throws(DyadError) -> [TemplateValue]
    {
        try charge(elements: elements.count)
        var result: [TemplateValue] = []
        for element in elements {
            var value = element
            if let standard, !standard.isNone, let path = path.string, path.count <= 1000 {
                // Jinja puts the default in at every missing step of the way.
                for part in TemplateText.split(path.scalars, [0x2e]) {
                    value = try attribute(path: text(part), of: value)
                    if value.isUndefined { value = standard }
                }
            } else {
                value = try attribute(path: path, of: element)
                if value.isUndefined, let standard, !standard.isNone { value = standard }
            }
            result.append(value)
        }
        return result
    }

    /// What elements are compared by: the element or one of its attributes, in lower case unless case counts.
    private mutating func keys(
        of elements: [TemplateValue], _ attribute: TemplateValue?, _ isCaseSensitive: Bool,
        default standard: TemplateValue? = nil
    ) throws(DyadError) -> [TemplateValue] {
        var keys = elements
        if let attribute, !attribute.isNone { keys = try attributes(attribute, of: elements, default: standard) }
        guard !isCaseSensitive else { return keys }
        try charge(elements: keys.count)
        for place in keys.indices {
            guard let string = keys[place].string else { continue }
            try chargeCase(string.scalars)
            keys[place] = text(TemplateText.lower(string.scalars))
        }
        return keys
    }

    // MARK: Order

    /// Sorts by keys, equal ones in the order they had.
    mutating func sorted<Element>(
        _ elements: [Element], reverse: Bool, key: (Element) -> TemplateValue
    ) throws(DyadError) -> [Element] {
        // A merge sort of its own: comparisons may throw, and are counted.
        var places = Array(elements.indices)
        let keys = elements.map(key)
        if keys.count == 1 { return elements }
        var width = 1
        while width < places.count {
            try charge(elements: places.count)
            var merged: [Int] = []
            merged.reserveCapacity(places.count)
            var start = 0
            while start < places.count {
                let middle = min(start + width, places.count)
                let end = min(middle + width, places.count)
                var (left, right) = (start, middle)
                while left < middle, right < end {
                    let (first, second) = (keys[places[left]], keys[places[right]])
                    let takesRight = try reverse ? isLess(first, second) : isLess(second, first)
                    merged.append(takesRight ? places[right] : places[left])
                    if takesRight { right += 1 } else { left += 1 }
                }
                merged += places[left..<middle]
                merged += places[right..<end]
                start = end
            }
            places = merged
            width *= 2
        }
        return places.map { elements[$0] }
    }

    private mutating func sorted(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> [TemplateValue]
    {
        let isCaseSensitive = call.isTrue(1, "case_sensitive")
        var paths: [TemplateValue?] = [nil]
        if let attribute = call.value(2, "attribute"), !attribute.isNone {
            guard attribute.string?.count ?? 0 <= 1000 else {
                throw call.wrong("attribute", attribute, "a shorter one")
            }
            paths = attribute.string.map { TemplateText.split($0.scalars, [0x2c]).map { text($0) } } ?? [attribute]
        }
        guard paths.count <= 20 else { throw call.wrong("attribute", .integer(paths.count), "at most 20") }
        var columns: [[TemplateValue]] = []
        for path in paths { columns.append(try keys(of: elements, path, isCaseSensitive)) }
        var rows: [(key: TemplateValue, value: TemplateValue)] = []
        for (place, element) in elements.enumerated() {
            rows.append((try sequence(columns.map { $0[place] }), element))
        }
        return try sorted(rows, reverse: call.isTrue(0, "reverse")) { $0.key }.map(\.value)
    }

    private mutating func dictionarySorted(_ pairs: [TemplateValue], _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        let by = TemplateString(try call.string(1, "by") ?? TemplateString("key").scalars)
        guard by == TemplateString("key") || by == TemplateString("value") else {
            throw call.wrong("by", .string(by), "'key' or 'value'")
        }
        let place = TemplateValue.integer(by == TemplateString("key") ? 0 : 1)
        let keys = try keys(of: pairs, place, call.isTrue(0, "case_sensitive"))
        let rows = Array(zip(keys, pairs))
        return try sequence(try sorted(rows, reverse: call.isTrue(2, "reverse")) { $0.0 }.map(\.1))
    }

    private mutating func unique(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let keys = try keys(of: elements, call.value(1, "attribute"), call.isTrue(0, "case_sensitive"))
        var seen: Set<TemplateKey> = []
        var seenUndefined = false
        var result: [TemplateValue] = []
        for (element, key) in zip(elements, keys) {
            if key.isUndefined {
                if !seenUndefined { result.append(element) }
                seenUndefined = true
            } else if seen.insert(try self.key(key)).inserted {
                result.append(element)
            }
        }
        return try iterator(result)
    }

    private mutating func grouped(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> TemplateValue
    {
        let attribute = try call.required(0, "attribute")
        let standard = call.value(1, "default")
        let names = try attributes(attribute, of: elements, default: standard)
        let keys = try keys(of: names, nil, call.isTrue(2, "case_sensitive"))
        let rows = try sorted(Array(zip(keys, zip(names, elements))), reverse: false) { $0.0 }
        var groups: [(name: TemplateValue, members: [TemplateValue])] = []
        for (place, row) in rows.enumerated() {
            if place > 0, try areEqual(rows[place - 1].0, row.0) {
                groups[groups.count - 1].members.append(row.1.1)
            } else {
                groups.append((row.1.0, [row.1.1]))
            }
        }
        var result: [TemplateValue] = []
        for group in groups { result.append(try sequence([group.name, try sequence(group.members)], .group)) }
        return try sequence(result)
    }

    // MARK: Parts

    private mutating func batched(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> TemplateValue
    {
        guard let size = try call.integer(0, "linecount") else { throw call.refuses(.none, "a 'linecount'") }
        guard size > 0 else {
            throw TemplateFailure.unsupported(line, "batches of \(size)", "batches of at least 1")
        }
        var batches: [TemplateValue] = []
        var start = 0
        while start < elements.count {
            var batch = Array(elements[start..<min(elements.count, start + min(size, elements.count))])
            start += batch.count
            if let fill = call.value(1, "fill_with"), !fill.isNone, batch.count < size {
                try charge(elements: size)
                batch += [TemplateValue](repeating: fill, count: size - batch.count)
            }
            batches.append(try sequence(batch))
        }
        return try iterator(batches)
    }

    private mutating func sliced(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        guard let count = try call.integer(0, "slices"), count != 0 else {
            throw call.refuses(call.value(0, "slices") ?? .none, "a number of slices that is not 0")
        }
        guard count > 0 else { return try iterator([]) }
        try charge(elements: count)
        let (size, extra) = (elements.count / count, elements.count % count)
        var slices: [TemplateValue] = []
        var start = 0
        for place in 0..<count {
            let end = start + size + (place < extra ? 1 : 0)
            var slice = Array(elements[start..<end])
            if let fill = call.value(1, "fill_with"), !fill.isNone, place >= extra { slice.append(fill) }
            slices.append(try sequence(slice))
            start = end
        }
        return try iterator(slices)
    }

    private mutating func mapped(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> [TemplateValue]
    {
        if call.positional.isEmpty, let path = call.named["attribute"] {
            if let other = call.named.keys.filter({ $0 != "attribute" && $0 != "default" }).min() {
                throw call.refuses(other)
            }
            return try attributes(path, of: elements, default: call.named["default"])
        }
        let name = TemplateString(Array(try call.requiredString(0, "filter").prefix(100))).text
        let inner = TemplateCall(name, line, positional: Array(call.positional.dropFirst()), named: call.named)
        try charge(elements: elements.count)
        var result: [TemplateValue] = []
        for element in elements {
            // A filter that maps filters would nest as deep as there are arguments.
            try enter()
            defer { leave() }
            result.append(try filter(name, element, inner))
        }
        return result
    }

    private mutating func selected(_ name: String, _ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError)
        -> [TemplateValue]
    {
        let readsAttribute = name.hasSuffix("attr")
        let attribute = readsAttribute ? try call.required(0, "attribute") : .none
        let place = readsAttribute ? 1 : 0
        var test: String?
        if call.positional.indices.contains(place) {
            test = TemplateString(Array(try call.requiredString(place, "test").prefix(100))).text
        } else if let name = call.named.keys.min() {
            throw call.refuses(name)
        }
        let inner = TemplateCall(
            test ?? name, line, positional: Array(call.positional.dropFirst(place + 1)), named: call.named)
        try charge(elements: elements.count)
        var result: [TemplateValue] = []
        for element in elements {
            try spend(Self.stepCost)
            let value = readsAttribute ? try self.attribute(path: attribute, of: element) : element
            let holds: Bool
            if let test { holds = try self.test(test, value, inner) } else { holds = value.isTrue }
            if holds == name.hasPrefix("select") { result.append(element) }
        }
        return result
    }
}
