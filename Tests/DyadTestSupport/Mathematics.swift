import Foundation

// Foundation has an Operation and a Dimension of its own: the files that write graphs do without it.

/// x·sigmoid(x).
func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

/// The cosine and sine of rotary channel `index` of `half` at `position`, in Q1.14.
func rotaryEntry(position: Int, index: Int, half: Int) -> (cosine: Int16, sine: Int16) {
    let angle = Double(position) * pow(10000, -Double(index) / Double(half))
    return (Int16((cos(angle) * 16384).rounded()), Int16((sin(angle) * 16384).rounded()))
}
