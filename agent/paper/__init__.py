"""The paper exchange: a pure matching core and books; feed, faults and server around them."""
