"""What benchmarks share with the integration tests."""

from tests.brokers import rabbitmq, rabbitmq_vhost

__all__ = ["rabbitmq", "rabbitmq_vhost"]
