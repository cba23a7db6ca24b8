"""The edges of the live agent: broker, ticker, journal, notices, control, settings, loop."""
