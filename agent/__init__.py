"""The live process: trailing, risk, orders, broker, paper exchange. Imports nothing of ours."""
