"""Outbox to RabbitMQ: commands as Celery messages, status to its topic exchange, a row deleted once confirmed."""
