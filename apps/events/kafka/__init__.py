"""The only place that makes Kafka clients: several defaults of kafka-python 3.0 lose events, block or leak.

Make clients after the fork and never share one between processes: a forked producer accepts records and sends none.
"""

from apps.events.kafka.admin import admin_client
from apps.events.kafka.consumer import event_consumer
from apps.events.kafka.log import thin_out
from apps.events.kafka.options import BrokerUnavailable
from apps.events.kafka.producer import EventProducer
from apps.events.kafka.reader import Extent, TopicReader

__all__ = ["BrokerUnavailable", "EventProducer", "Extent", "TopicReader", "admin_client", "event_consumer"]

thin_out()
