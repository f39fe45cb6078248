"""What the bots of several measurements are told."""

# Seldom trades by itself.
SELDOM_TRADES = {
    "pair": "XBTUSD",
    "strategy": "sma_cross",
    "parameters": {"fast": 100, "slow": 300, "enter_on_start": False},
    "interval_minutes": 1440,
    "quote_budget": "200",
}
