"""Outbox to Kafka: committed events are sent in the order of their key and deleted once acknowledged."""
