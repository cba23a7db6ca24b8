"""`ratchet demo`: the whole loop once, on data that comes with it, and a report about it."""
