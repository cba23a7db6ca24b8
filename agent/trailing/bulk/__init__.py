"""Many positions at once: the step function's arithmetic compiled, and the shape of a result."""
