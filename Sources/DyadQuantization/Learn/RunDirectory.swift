import DyadFormats
import DyadTensor
import DyadTransformer
import Foundation

/// The folder of a learning run: its settings, its losses as JSON lines, and the snapshots that a resumed run continues from.
///
///     settings.json     what the run was started with, and its fingerprint
///     log.jsonl         one object a step or event
///     NAME.safetensors  the last snapshot of a part of the run; gone when the run is complete
public final class RunDirectory {
    /// The folder.
    public let path: String
    /// Seconds between snapshots of one part. They do not change the result.
    public var interval = 240.0
    /// For tests: the run ends with an error after so many snapshots, as if it were killed.
    var stopAfter: Int?
    private let resumes: Bool
    private let lock: FolderLock
    private var last = ContinuousClock.now
    private var lines: [JSONValue] = []

    /// Opens or creates the folder.
    ///
    /// - Parameters:
    ///   - settings: what the result depends on.
    ///   - resumes: whether to continue a run that is there; otherwise it is removed.
    /// - Throws: ``DyadError`` where the folder cannot be written, another run has it open, or it holds a run with other settings that
    ///   should be resumed.
    public init(_ path: String, settings: JSONObject, resumes: Bool) throws(DyadError) {
        (self.path, self.resumes) = (path, resumes)
        let text = JSONValue.object(settings).text()
        let file = path + "/settings.json"
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw Self.cannotWrite(path, error)
        }
        let isThere = FileManager.default.fileExists(atPath: file)
        if resumes, isThere {
            let found = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            guard found == text else {
                throw DyadError(
                    .mismatch, file: file, subject: Self.difference(found, settings),
                    found: "a run with other settings",
                    expected: "the settings of this command",
                    remedy: "Repeat the command that started the run, or leave out --resume to start again.")
            }
        }
        lock = try FolderLock(path)
        if resumes, isThere { return }
        do {
            if isThere {
                // Only what a run wrote: the folder may be the user's.
                for name in try FileManager.default.contentsOfDirectory(atPath: path)
                where name == "log.jsonl" || name == "settings.json" || name.hasSuffix(Self.ending) {
                    try FileManager.default.removeItem(atPath: path + "/" + name)
                }
            }
        } catch {
            throw Self.cannotWrite(path, error)
        }
        try AtomicFile.write(file, text: text)
    }

    private static func cannotWrite(_ path: String, _ error: any Error) -> DyadError {
        DyadError(
            .cannotWrite, file: path, found: "\(error.localizedDescription)", expected: "a folder to write to",
            remedy: "Choose another --run folder.")
    }

    private static let ending = ".snapshot.safetensors"

    /// The first setting that differs.
    private static func difference(_ found: String, _ settings: JSONObject) -> String? {
        guard let other = try? JSONValue.parse(found, file: "settings.json") else { return nil }
        return settings.keys.first { other[$0] != settings[$0] }
    }

    // MARK: Log

    /// Adds a line; written with the next snapshot or the end.
    func log(_ line: JSONValue) { lines.append(line) }

    private func flush() throws(DyadError) {
        guard !lines.isEmpty else { return }
        let file = path + "/log.jsonl"
        if !FileManager.default.fileExists(atPath: file) { try AtomicFile.write(file, text: "") }
        let text = lines.map { $0.text() + "\n" }.joined()
        guard let handle = FileHandle(forWritingAtPath: file) else {
            throw DyadError(
                .cannotWrite, file: file, found: "a file that cannot be opened", expected: "one to append to",
                remedy: "Check the folder's permissions.")
        }
        do {
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(text.utf8))
            try handle.close()
        } catch {
            throw DyadError(
                .cannotWrite, file: file, found: "\(error.localizedDescription)", expected: "space for the log",
                remedy: "Free disk space, then continue with --resume.")
        }
        lines = []
    }

    // MARK: Snapshots

    /// The stored snapshot of a part; nil where there is none, or the run starts anew.
    func snapshot(_ name: String) throws -> Snapshot? {
        let file = path + "/" + name + Self.ending
        guard resumes, FileManager.default.fileExists(atPath: file) else { return nil }
        return try Snapshot(file: file)
    }

    /// The stored calibration; nil where there is none, or the run starts anew.
    func calibration(_ decoder: Decoder, _ plan: NetworkPlan) throws(DyadError) -> CalibrationSnapshot? {
        let file = path + "/calibration" + Self.ending
        guard resumes, FileManager.default.fileExists(atPath: file) else { return nil }
        return try CalibrationSnapshot(file: file, decoder: decoder, plan: plan)
    }

    /// Stores what calibration found.
    func keep(_ calibration: CalibrationSnapshot) throws(DyadError) {
        try calibration.write(path + "/calibration" + Self.ending)
        try flush()
        last = ContinuousClock.now
    }

    /// Stores a snapshot if it is time, and always after the last step of a part.
    func keep(_ name: String, step: Int, of steps: Int, _ make: () throws -> Snapshot) throws {
        guard step == steps || ContinuousClock.now - last > .seconds(interval) else { return }
        try make().write(path + "/" + name + Self.ending)
        try flush()
        last = ContinuousClock.now
        guard let left = stopAfter else { return }
        stopAfter = left - 1
        if left <= 1 { throw CancellationError() }
    }

    /// Removes the snapshots of a run that is complete; settings and log stay.
    public func finish() throws(DyadError) {
        try flush()
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where name.hasSuffix(Self.ending)
        {
            try? FileManager.default.removeItem(atPath: path + "/" + name)
        }
    }
}

/// Everything that the next step of a learning loop depends on.
struct Snapshot {
    let step: Int
    let order: (generator: Tensor, rest: [Int])
    private let parameters: [Tensor]
    private let optimizer: [String: Tensor]

    init(step: Int, parameters: [Tensor], optimizer: any Optimizer, order: BatchOrder) throws {
        self.step = step
        self.parameters = parameters
        self.optimizer = try optimizer.state()
        self.order = try order.state()
    }

    init(file path: String) throws {
        let file = try SafetensorsFile(path: path)
        func malformed(_ found: String) -> DyadError {
            DyadError(
                .malformed, file: path, found: found, expected: "a snapshot of this version of Dyad",
                remedy: "Leave out --resume to start again.")
        }
        func tensor(_ name: String) throws -> Tensor {
            let view = try file.tensor(name)
            guard let dtype = DType(stored: view.type) else { throw malformed("\(name) as \(view.type)") }
            let stored = try view.bytes()
            return try Tensor(borrowing: stored.bytes, dtype: dtype, shape: view.shape, owner: stored).clone()
        }
        guard let step = file.metadata["step"].flatMap({ Int($0) }), step >= 0,
            let count = file.metadata["parameters"].flatMap({ Int($0) })
        else { throw malformed("no step") }
        self.step = step
        parameters = try (0..<max(count, 0)).map { try tensor("parameter.\($0)") }
        var state: [String: Tensor] = [:]
        for name in file.names where name.hasPrefix("optimizer.") {
            state[String(name.dropFirst("optimizer.".count))] = try tensor(name)
        }
        optimizer = state
        let rest = try tensor("order.rest").toArray(Int64.self).map { Int($0) }
        order = (try tensor("order.generator"), rest)
    }

    /// Puts parameters and optimiser in the stored state.
    func restore(_ tensors: [Tensor], _ target: any Optimizer) throws {
        guard tensors.map(\.shape) == parameters.map(\.shape) else {
            throw DyadError(
                .mismatch, subject: "snapshot", found: "\(parameters.count) parameters of other shapes",
                expected: "\(tensors.count) parameters of this model", remedy: "Leave out --resume to start again.")
        }
        try withNoGrad { for (tensor, stored) in zip(tensors, parameters) { try tensor.copy(from: stored) } }
        if !optimizer.isEmpty { try target.restore(optimizer) }
    }

    func write(_ path: String) throws {
        var tensors: [SafetensorsWriter.Tensor] = []
        func add(_ name: String, _ tensor: Tensor) {
            tensors.append(
                SafetensorsWriter.Tensor(name, tensor.dtype.stored, tensor.shape) { (sink) throws(DyadError) in
                    var failure: DyadError?
                    try tensor.detach().contiguous().withUnsafeBytes { bytes in
                        do throws(DyadError) { try sink.write(bytes) } catch { failure = error }
                    }
                    if let failure { throw failure }
                })
        }
        for (index, parameter) in parameters.enumerated() { add("parameter.\(index)", parameter) }
        for (name, tensor) in optimizer.sorted(by: { $0.key < $1.key }) { add("optimizer.\(name)", tensor) }
        add("order.generator", order.generator)
        add("order.rest", try Tensor(order.rest.map { Int64($0) }))
        try SafetensorsWriter.write(
            path, tensors, metadata: ["step": String(step), "parameters": String(parameters.count)])
    }
}

extension DType {
    /// The type's name in a safetensors file.
    fileprivate var stored: ElementType {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .int16: .int16
        case .int32: .int32
        case .int64: .int64
        case .float16: .float16
        case .float32: .float32
        case .float64: .float64
        case .bool: .bool
        case .bfloat16: .bfloat16
        }
    }

    fileprivate init?(stored: ElementType) {
        guard let found = DType.allCases.first(where: { $0.stored == stored }) else { return nil }
        self = found
    }
}
