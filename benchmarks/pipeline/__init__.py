"""What the daily stack costs, and how long the way from candles to a registered model is."""
