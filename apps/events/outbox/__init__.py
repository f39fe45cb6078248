"""The transactional outbox: relay and dispatcher send its rows to Kafka and RabbitMQ."""
