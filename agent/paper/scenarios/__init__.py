"""The scenarios that are shipped: one TOML file each, found by name (agent/paper/scenario.py)."""
