"""How stop and target follow the price: policy, plan, step, candles, planner. Pure."""
