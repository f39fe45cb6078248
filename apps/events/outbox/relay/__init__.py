"""From the outbox to Kafka: what is committed is sent, in the order of its key, and then leaves the outbox."""
