"""The verbs of `ratchet-agent`, one file each: parse, call a room, print."""
