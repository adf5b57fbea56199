import Foundation

// Foundation has an Operation of its own: the files that use the graph's do without it.

func exp(_ x: Double) -> Double { Foundation.exp(x) }
func exp2(_ x: Double) -> Double { Foundation.exp2(x) }
