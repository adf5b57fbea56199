/// The version that files and `dyad --version` carry.
public let dyadVersion = "0.1.0"
