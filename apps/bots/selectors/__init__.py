"""Reads over bots, their commands and their read models. Whose they are is asked everywhere: not yours is not there."""
