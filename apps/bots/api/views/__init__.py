"""The doors of bots: each translates in, makes one call, and translates out."""
