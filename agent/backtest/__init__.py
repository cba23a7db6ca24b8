"""The core against the paper exchange's matching core on a virtual clock."""
