import DyadTransformer

extension Recipe {
    /// The width of a linear's weight.
    func bits(of key: WeightKey) -> Int { weights.bits == 4 && !isPromoted(key.name) ? 4 : 8 }

    /// Whether a pattern of ``promote`` makes a site 16 bit.
    func canPromote(_ key: SiteKey, online: Bool) -> Bool {
        var single = self
        single.promote = [key.name]
        return SiteGrids(recipe: single, hasOnlineRotation: online).grid(key) == .centred16
    }
}
