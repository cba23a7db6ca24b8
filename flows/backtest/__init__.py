"""Past signals through the agent itself: whose, over which prices, and what they were worth."""
