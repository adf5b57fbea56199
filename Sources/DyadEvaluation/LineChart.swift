import Foundation

/// A small line chart as SVG: for figures of the documentation, without a plotting library.
struct LineChart {
    struct Series {
        let name: String
        let points: [(x: Double, y: Double)]

        /// Points with a coordinate that is not finite, or beyond any sense, have no place and are left out.
        init(name: String, points: [(x: Double, y: Double)]) {
            self.name = name
            self.points = points.filter { abs($0.x) < 1e100 && abs($0.y) < 1e100 }
        }
    }

    let title: String
    let xLabel: String
    let yLabel: String
    let series: [Series]

    static let width = 460.0, height = 320.0
    private static let colours = ["#0b5fa5", "#c1440e", "#3a7d44", "#7b4ea3"]

    /// The chart as an SVG group whose upper left corner is at (x, 0).
    func group(at offset: Double) -> String {
        let all = series.flatMap(\.points)
        let (left, right, top, bottom) = (64.0, 16.0, 34.0, 64.0)
        let (plotWidth, plotHeight) = (Self.width - left - right, Self.height - top - bottom)
        let (xLow, xHigh) = Self.range(all.map(\.x)), (yLow, yHigh) = Self.range(all.map(\.y))
        func place(_ point: (x: Double, y: Double)) -> (x: Double, y: Double) {
            (
                left + (point.x - xLow) / (xHigh - xLow) * plotWidth,
                top + (1 - (point.y - yLow) / (yHigh - yLow)) * plotHeight
            )
        }
        var lines = [#"<g transform="translate(\#(Self.text(offset)) 0)">"#]
        lines.append(Self.label(title, x: left, y: 20, anchor: "start", weight: "bold"))
        for step in 0...4 {
            let share = Double(step) / 4
            let (x, y) = (xLow + share * (xHigh - xLow), yLow + share * (yHigh - yLow))
            let (onX, onY) = (place((x, yLow)), place((xLow, y)))
            lines.append(
                #"<path d="M\#(Self.text(left)) \#(Self.text(onY.y))H\#(Self.text(left + plotWidth))" stroke="silver"/>"#
            )
            lines.append(Self.label(Self.tick(x, xHigh - xLow), x: onX.x, y: top + plotHeight + 16, anchor: "middle"))
            lines.append(Self.label(Self.tick(y, yHigh - yLow), x: left - 6, y: onY.y + 4, anchor: "end"))
        }
        lines.append(Self.label(xLabel, x: left + plotWidth / 2, y: top + plotHeight + 34, anchor: "middle"))
        lines.append(
            #"<g transform="translate(14 \#(Self.text(top + plotHeight / 2))) rotate(-90)">"#
                + Self.label(yLabel, x: 0, y: 0, anchor: "middle") + "</g>")
        for (index, one) in series.enumerated() {
            let colour = Self.colours[index % Self.colours.count]
            let path = one.points.map { point in
                let at = place(point)
                return "\(Self.text(at.x)) \(Self.text(at.y))"
            }.joined(separator: "L")
            if !path.isEmpty {
                lines.append(#"<path d="M\#(path)" fill="none" stroke="\#(colour)" stroke-width="2"/>"#)
            }
            for point in one.points {
                let at = place(point)
                lines.append(#"<circle cx="\#(Self.text(at.x))" cy="\#(Self.text(at.y))" r="3" fill="\#(colour)"/>"#)
            }
            let x = left + Double(index) * plotWidth / Double(max(series.count, 1))
            lines.append(
                Self.label("● " + one.name, x: x, y: Self.height - 8, anchor: "start", colour: colour))
        }
        return (lines + ["</g>"]).joined(separator: "\n")
    }

    /// Charts side by side, as one document.
    static func document(_ charts: [LineChart]) -> String {
        let whole = "\(text(width * Double(max(charts.count, 1)))) \(text(height))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(whole)" font-family="sans-serif" font-size="11">
            <rect width="100%" height="100%" fill="#fff"/>
            \(charts.enumerated().map { $1.group(at: Double($0) * width) }.joined(separator: "\n"))
            </svg>

            """
    }

    /// The smallest and largest value; never empty.
    private static func range(_ values: [Double]) -> (Double, Double) {
        let (low, high) = (values.min() ?? 0, values.max() ?? 1)
        // Beside a huge value 1 is nothing.
        return high > low ? (low, high) : (low, low + max(1, abs(low) * 0.01))
    }

    private static func label(
        _ string: String, x: Double, y: Double, anchor: String, weight: String = "normal", colour: String = "#222"
    ) -> String {
        let escaped = string.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
        return
            #"<text x="\#(text(x))" y="\#(text(y))" text-anchor="\#(anchor)" font-weight="\#(weight)" fill="\#(colour)">\#(escaped)</text>"#
    }

    /// Two decimals at most, the same on every machine.
    private static func text(_ value: Double) -> String {
        let hundredths = (value * 100).rounded() / 100
        return hundredths == hundredths.rounded() ? String(Int(hundredths)) : String(hundredths)
    }

    private static func tick(_ value: Double, _ extent: Double) -> String {
        let digits = max(0, Int((2 - log10(max(extent, 1e-9))).rounded(.down)))
        return String(format: "%.\(min(digits, 6))f", value)
    }
}
