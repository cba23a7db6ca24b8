"""How stop and target follow the price: one pure step function and what feeds on it."""
