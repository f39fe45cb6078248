"""The only place that makes Kafka clients: several defaults of kafka-python 3.0 lose events, block or leak.

Make clients after the fork and never share one between processes: a forked producer accepts records and sends none.
"""

from apps.events.brokers.kafka.log import thin_out

thin_out()
