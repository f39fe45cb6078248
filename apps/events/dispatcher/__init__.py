"""Outbox to RabbitMQ: commands as Celery messages, status to its topic exchange, a row deleted once confirmed."""

from apps.events.dispatcher.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
