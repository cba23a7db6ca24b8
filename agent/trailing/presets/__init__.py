"""Policies to start from: TOML files that a user can copy; `replay --policy NAME` takes one."""

PRESETS = ("user_example", "half_giveback", "chandelier", "hybrid_intraday", "breakeven_then_trail")
