"""Orders as values: life-cycle table, exits, reconciliation. Pure."""
