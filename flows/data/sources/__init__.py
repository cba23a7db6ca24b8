"""Where candles come from, one file a source; `open_source` picks by the word before the colon."""
