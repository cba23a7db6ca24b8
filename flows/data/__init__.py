"""Candles from a source into partitioned Parquet: sources, store, quality."""
