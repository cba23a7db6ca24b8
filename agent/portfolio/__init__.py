"""What came of it: lots, profit and loss, the daily report. Pure."""
