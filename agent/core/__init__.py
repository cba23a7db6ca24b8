"""decide(state, event) -> (state, commands): the pure rooms tied together."""
