"""The exchange's facts: tick grid, sessions by date, candles from ticks, dated charges. Pure."""
