"""The served model: features, contract, traffic between versions. Imports nothing of ours."""
