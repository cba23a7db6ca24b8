"""Purged walk-forward folds and what is measured on them."""
