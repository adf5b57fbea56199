import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Foundation
import Testing

extension Trait where Self == ConditionTrait {
    static var needsTorch: Self { .enabled(if: Torch.isAvailable, "built without libtorch (trait Torch is off)") }
}

/// Tests/Fixtures/transformers, written by scripts/fixtures/transformers_reference.py.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/transformers")

/// What transformers computed for a tiny model.
struct Reference: Decodable {
    let tokens: [[Int32]]
    let logits: [[[Float]]]

    init(_ name: String) throws {
        let data = try Data(contentsOf: fixtures.appendingPathComponent("\(name)/reference.json"))
        self = try JSONDecoder().decode(Reference.self, from: data)
    }

    func tensor() throws -> Tensor {
        try Tensor(
            logits.flatMap { $0.flatMap { $0 } }, shape: [logits.count, logits[0].count, logits[0][0].count])
    }
}

func checkpoint(_ name: String) throws -> Checkpoint {
    try Checkpoint.open(fixtures.appendingPathComponent(name).path)
}

/// The largest absolute difference, in float64; infinite where shapes differ.
func difference(_ a: Tensor, _ b: Tensor) throws -> Double {
    guard a.shape == b.shape else { return .infinity }
    return try (a.to(.float64) - b.to(.float64)).abs().max().item()
}

/// Keeps what it sees and, where `change` says so, replaces it.
final class Recorder: SiteVisitor {
    var seen: [(key: SiteKey, tensor: Tensor)] = []
    var weights: [WeightKey] = []
    var change: (SiteKey, Tensor) throws -> Tensor = { $1 }
    var changeWeight: (WeightKey, Tensor) throws -> Tensor = { $1 }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        seen.append((key, x))
        return try change(key, x)
    }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        weights.append(key)
        return try changeWeight(key, w)
    }
}

/// A visitor that does nothing, so that the forward pass takes the way on which everything can be seen.
struct Onlooker: SiteVisitor {}
