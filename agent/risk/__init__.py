"""How much: sizing, capital, limits, margin. Pure."""
