/// Receives how far long work is. Called from one thread, possibly often.
public protocol ProgressReporter: AnyObject {
    /// - Parameters:
    ///   - phase: what is being done, for example `calibrate`.
    ///   - completed: units done.
    ///   - total: units in all.
    ///   - note: a figure worth watching (a loss, a rate), or empty.
    func update(phase: String, completed: Int, total: Int, note: String)
}

extension ProgressReporter {
    /// Reports without a note.
    public func update(phase: String, completed: Int, total: Int) {
        update(phase: phase, completed: completed, total: total, note: "")
    }
}
