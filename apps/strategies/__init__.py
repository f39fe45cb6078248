"""Trading strategies, one file each: parameters and decision together. Pure: no database, no exchange, no clock.

A file added here is a strategy that bots can have; nothing else has to be changed.
"""
