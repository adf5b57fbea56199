import DyadFormats
import Testing

@Test func everyReasonHasADistinctMeaningForTheShell() {
    let codes = DyadError.Reason.allCases.map { DyadError($0, found: "", expected: "", remedy: "").exitCode }
    #expect(Set(codes) == [66, 65, 73, 64, 1])
}
