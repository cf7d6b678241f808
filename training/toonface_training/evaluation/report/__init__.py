"""A folder to look at: the figures, plots of what lies behind them, and the worst mistakes as pictures."""
