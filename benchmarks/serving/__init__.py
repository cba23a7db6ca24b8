"""How fast the served model answers: an open-loop generator against the real service."""
