import Foundation

/// How the learning rate changes over the steps of a run, as a factor on its base value.
public struct LearningRateSchedule: Sendable, Equatable {
    /// The course after the warm-up.
    public enum Decay: Sendable, Equatable {
        case constant
        /// Half a cosine from 1 to `minimum` (Loshchilov and Hutter, "SGDR", 2017, without restarts).
        case cosine(minimum: Double)
        /// A straight line from 1 to `minimum`.
        case linear(minimum: Double)
    }

    /// The course after the warm-up.
    public var decay: Decay
    /// The number of steps of the run.
    public var steps: Int
    /// The number of first steps in which the factor rises linearly to 1.
    public var warmUp: Int

    /// Creates a schedule.
    public init(_ decay: Decay, steps: Int, warmUp: Int = 0) {
        self.decay = decay
        self.steps = steps
        self.warmUp = warmUp
    }

    /// The factor of step `step`, counted from 0. The first step after the warm-up has 1, the last one (`steps` − 1)
    /// the minimum, and so has every later one.
    public func factor(at step: Int) -> Double {
        if step < warmUp { return Double(step + 1) / Double(warmUp + 1) }
        let length = max(1, steps - 1 - warmUp)
        let progress = min(1, Double(step - warmUp) / Double(length))
        return switch decay {
        case .constant: 1
        case .cosine(let minimum): minimum + (1 - minimum) * 0.5 * (1 + cos(Double.pi * progress))
        case .linear(let minimum): minimum + (1 - minimum) * (1 - progress)
        }
    }
}
