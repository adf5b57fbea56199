import DyadFormats

/// All that the graph knows of one kind of operation, in one file of this folder: what it reads and writes, its operands in
/// a file, what makes it sound, what it costs, and what it means.
///
/// A payload of ``Operation/Kind`` conforms itself; where two kinds share a payload, a small struct says which of them it is.
/// A payload is read from a file by its `init(_ json: JSONField)`.
protocol OperationDefinition {
    /// The tensors it reads.
    var inputs: [TensorID] { get }
    /// The tensors it writes.
    var outputs: [TensorID] { get }
    /// Its operands as a file names them; null stands for one that is not there.
    var json: [(String, JSONValue)] { get }

    /// How far, in real units, the integer meaning may be from the exact one beyond its rounding.
    var precision: Double { get }

    /// Checks types, shapes and constants. Its tensors are known to exist, and its inputs to have been produced.
    func check(_ validator: GraphValidator) throws(DyadError)
    /// What one token costs. The operation is sound.
    func cost(_ basis: OperationCost.Basis) -> OperationCost
    /// Derives what the arithmetic will need, and drops it: the errors are those of ``prepare(_:name:)``.
    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError)

    /// The integer meaning, constants unpacked and multipliers derived.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step
    /// The exact meaning: sets the outputs from the inputs in real numbers, with nothing rounded or clamped.
    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError)
}

extension OperationDefinition {
    var precision: Double { 0 }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        OperationCost(work: basis.elements + OperationCost.derived)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {}
}
