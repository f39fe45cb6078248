"""Writes of exchange keys. Functions that call an exchange must run outside a transaction."""
