"""The doors of accounts: each translates in, makes one call, and translates out."""
