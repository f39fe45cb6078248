"""RabbitMQ clients: connections with timeouts everywhere, publisher confirms, and messages in Celery's format.

Only background processes use them. A request writes to the outbox and never waits for a broker.
"""

from apps.events.brokers.rabbitmq.decoding import install_tolerant_decoder

install_tolerant_decoder()
