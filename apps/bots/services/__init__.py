"""The only writers of bots: definitions and commands for their owners, read models for the events."""
