"""Zero downtime: everything that may change under a served model, at full size."""
