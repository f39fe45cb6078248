"""Outbox to RabbitMQ: commands as Celery messages, status to its topic exchange. A confirmed row is deleted."""
