/// What the host gives an exported graph, or gets from it. In files a port is known by its name, and only this type spells one.
enum HostPort: Equatable {
    /// `[tokens]` ids.
    case tokenIDs
    /// `[tokens]` places in the context, the prefix included.
    case positionIDs
    /// `[1, 1, tokens, columns]`: whether a token sees a column.
    case visible
    /// `[1]`: the token whose logits are wanted.
    case logitRow
    /// `[1, heads, past, size]`: rows of a cache, by its name.
    case pastRows(cache: String)
    /// `[1, heads, tokens, size]`: the step's rows of a cache.
    case newRows(cache: String)
    /// A tensor of the integer graph, by its name: what another part makes or reads, and the logits.
    case tensor(String)

    /// The port of a name.
    init(name: String) {
        switch name {
        case "token_ids": self = .tokenIDs
        case "position_ids": self = .positionIDs
        case "visible": self = .visible
        case "logit_row": self = .logitRow
        default:
            if name.hasSuffix(Self.past) {
                self = .pastRows(cache: String(name.dropLast(Self.past.count)))
            } else if name.hasSuffix(Self.new) {
                self = .newRows(cache: String(name.dropLast(Self.new.count)))
            } else {
                self = .tensor(name)
            }
        }
    }

    /// The name in files.
    var name: String {
        switch self {
        case .tokenIDs: "token_ids"
        case .positionIDs: "position_ids"
        case .visible: "visible"
        case .logitRow: "logit_row"
        case .pastRows(let cache): cache + Self.past
        case .newRows(let cache): cache + Self.new
        case .tensor(let name): name
        }
    }

    private static let past = ".past"
    private static let new = ".new"
}
