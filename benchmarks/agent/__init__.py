"""The live process by the stopwatch: decisions, money, and the paper exchange under load."""
