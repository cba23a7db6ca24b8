"""The agent through every scenario of the paper exchange: safety figures from the audit."""
