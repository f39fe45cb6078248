"""A guided walk: acts as a client of its own platform, from registering to a bot's first trades, while one watches."""
