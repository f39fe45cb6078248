"""Reads of bots, commands and read models. Every read is limited to the owner: another user's row is not found."""
