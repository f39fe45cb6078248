"""Talking to RabbitMQ: connections whose every wait is bounded, confirmed publishing, messages as Celery reads them.

Only background processes do this. A request writes to the outbox and never waits for a broker.
"""

from apps.events.brokers.rabbitmq.decoding import be_tolerant

be_tolerant()
