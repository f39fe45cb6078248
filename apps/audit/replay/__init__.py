"""Replay: the same events again, from Kafka or the event store, to a screen, a file or a projection."""
