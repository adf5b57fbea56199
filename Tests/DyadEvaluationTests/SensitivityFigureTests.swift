import Foundation
import Testing

@testable import DyadEvaluation
@testable import DyadQuantization

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite struct SensitivityFigureTests {
    private func report(perplexity: Double) -> SensitivityReport {
        let points = [0.0, 0.5, 1].map { share in
            SensitivityReport.Point(
                count: Int(share * 10), share: share, weightBytes: 1_000_000 + Int(share * 1e6), latency: 1 + share,
                predictedDivergence: 1 - share, divergence: 1 - share, perplexity: perplexity - share)
        }
        return SensitivityReport(
            tensors: [
                Sensitivity(
                    tensor: "layers.0.mlp.product", isWeight: false, divergence: 0.5, relativeError: 0.1, bytes: 0,
                    cycles: 3)
            ],
            curves: [
                SensitivityReport.Curve(measure: .divergence, ofWeights: false, points: points),
                SensitivityReport.Curve(measure: .relativeError, ofWeights: false, points: points),
                SensitivityReport.Curve(measure: .divergence, ofWeights: true, points: points),
            ], floatPerplexity: 20, heldOutTokens: 100)
    }

    /// The names of the elements of an XML text; nil if it is not well formed.
    private func elements(_ text: String) -> [String]? {
        final class Names: NSObject, XMLParserDelegate {
            var names: [String] = []
            func parser(
                _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
                attributes: [String: String]
            ) {
                names.append(name)
            }
        }
        let (parser, names) = (XMLParser(data: Data(text.utf8)), Names())
        parser.delegate = names
        return parser.parse() ? names.names : nil
    }

    @Test func theFigureIsWellFormedAndHasEveryPoint() throws {
        let names = try #require(elements(report(perplexity: 30).figure(title: "a < b & c")))
        #expect(names.first == "svg")
        #expect(names.count { $0 == "circle" } == 9)
    }

    @Test func aPerplexityWithoutBoundIsLeftOut() throws {
        let names = try #require(elements(report(perplexity: .infinity).figure(title: "x")))
        #expect(names.count { $0 == "circle" } == 0)
        #expect(elements(report(perplexity: 1e90).figure(title: "x")) != nil)
    }

    @Test func theReportsJSONHasItsCurvesAndTensors() {
        let json = report(perplexity: 30).json
        #expect(json["curves"]?.array?.count == 3)
        #expect(json["tensors"]?.array?.first?["tensor"]?.string == "layers.0.mlp.product")
        #expect(json["float_perplexity"]?.double == 20)
    }
}
