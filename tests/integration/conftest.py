"""What integration tests of every app may use."""

from tests.brokers import rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]
