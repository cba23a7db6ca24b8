"""Predictions joined with outcomes, drift, quality."""
