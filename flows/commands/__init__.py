"""The verbs of `ratchet`, one file each: parse, call a room, print."""
