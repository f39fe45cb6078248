"""Smoke test: a client of the running platform, from registering to a bot's first trades, a line a step."""
