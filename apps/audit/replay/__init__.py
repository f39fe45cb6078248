"""Replay of events from Kafka or the event store, to the terminal, a file or a projection."""
