import ArgumentParser

@main
struct Dyad: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "dyad")
}
