"""What `ratchet up` runs: the parts, the keeper that minds them, and what is told about them."""
