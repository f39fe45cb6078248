"""Services of bots: the only code that writes definitions, commands and read models."""
