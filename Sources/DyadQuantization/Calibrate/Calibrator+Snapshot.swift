import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTransformer

/// What a run keeps of its calibration, so that a resumed one goes on with learning.
struct CalibrationSnapshot {
    var network: QuantizedNetwork
    /// What the recipe's allocation promoted.
    var allocated: [String]

    /// Writes a safetensors file: integers and scales by weight, encodings beside the list of their sites.
    func write(_ path: String) throws(DyadError) {
        var tensors: [SafetensorsWriter.Tensor] = []
        for (key, weight) in network.weights.sorted(by: { $0.key.name < $1.key.name }) {
            tensors.append(
                SafetensorsWriter.Tensor(
                    key.checkpointName, .int8, [weight.rows, weight.columns], weight.integers))
            tensors.append(
                SafetensorsWriter.Tensor(key.checkpointName + Self.scales, .float32, [weight.rows], weight.scales))
        }
        let sites = network.encodings.keys.sorted()
        let encodings = sites.compactMap { network.encodings[$0] }
        tensors.append(SafetensorsWriter.Tensor("scales", .float32, [sites.count], encodings.map(\.scale)))
        tensors.append(SafetensorsWriter.Tensor("zero_points", .int32, [sites.count], encodings.map(\.zeroPoint)))
        func list(_ names: [String]) -> String { JSONValue.array(names.map { .string($0) }).text() }
        try SafetensorsWriter.write(
            path, tensors,
            metadata: [
                "sites": list(sites.map(\.name)), "types": list(sites.map { network.types[$0]?.rawValue ?? "" }),
                "allocated": list(allocated),
            ])
    }

    private static let scales = ".scales"

    init(_ network: QuantizedNetwork, allocated: [String]) {
        (self.network, self.allocated) = (network, allocated)
    }

    /// Reads what ``write(_:)`` wrote for the same model and plan.
    init(file path: String, decoder: Decoder, plan: NetworkPlan) throws(DyadError) {
        let file = try SafetensorsFile(path: path)
        func malformed(_ subject: String, _ found: String) -> DyadError {
            DyadError(
                .malformed, file: path, subject: subject, found: found, expected: "a calibration of this run",
                remedy: "Leave out --resume to start again.")
        }
        func list(_ key: String) throws(DyadError) -> [String] {
            try JSONValue.parse(file.metadata[key] ?? "", file: path, subject: key).array?.compactMap(\.string) ?? []
        }
        func values<T: BitwiseCopyable>(_ name: String, _ type: ElementType, of: T.Type) throws(DyadError) -> [T] {
            let view = try file.tensor(name)
            guard view.type == type else { throw malformed(name, "elements of type \(view.type.rawValue)") }
            let stored = try view.bytes()
            return withExtendedLifetime(stored) {
                (0..<view.count).map {
                    stored.bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self)
                }
            }
        }
        let allocated = try list("allocated")
        let plan = plan.promoting(allocated)
        var network = QuantizedNetwork()
        for name in file.names where name.hasSuffix(".weight") {
            guard let key = WeightKey(checkpointName: name) else { throw malformed(name, "an unknown tensor") }
            let shape = try file.tensor(name).shape
            let scales = try values(name + Self.scales, .float32, of: Float.self)
            let isMatrix = decoder.weights[key].map { $0.shape == shape } ?? (key.layer == nil)
            guard shape.count == 2, scales.count == shape[0], isMatrix else { throw malformed(name, "shape \(shape)") }
            let bits = plan.bits(of: key)
            let largest = Int(WeightQuantizer.largest(bits: bits))
            let integers = try values(name, .int8, of: Int8.self)
            guard integers.allSatisfy({ abs(Int($0)) <= largest }), scales.allSatisfy({ $0.isFinite && $0 > 0 }) else {
                throw malformed(name, "integers or scales outside their range")
            }
            network.weights[key] = QuantizedWeight(
                rows: shape[0], columns: shape[1], bits: bits, integers: integers, scales: scales)
        }
        let names = try list("sites"), types = try list("types")
        let scales = try values("scales", .float32, of: Float.self)
        let zeroPoints = try values("zero_points", .int32, of: Int32.self)
        guard names.count == types.count, names.count == scales.count, names.count == zeroPoints.count else {
            throw malformed("sites", "lists of different lengths")
        }
        let known = SiteKey.all(layers: decoder.configuration.layerCount)
        let byName = Dictionary(uniqueKeysWithValues: known.map { ($0.name, $0) })
        for (index, name) in names.enumerated() {
            guard let key = byName[name], let type = IntegerType(rawValue: types[index]) else {
                throw malformed("sites", "“\(name)”")
            }
            guard scales[index].isFinite, scales[index] > 0, type.range.contains(.init(zeroPoints[index])) else {
                throw malformed(name, "scale \(scales[index]), zero point \(zeroPoints[index])")
            }
            network.encodings[key] = Encoding(scale: scales[index], zeroPoint: zeroPoints[index])
            network.types[key] = type
        }
        self.init(network, allocated: allocated)
    }
}
