"""The live process: trailing, risk, orders, broker, paper exchange. Speaks HTTP, imports nothing of ours."""
