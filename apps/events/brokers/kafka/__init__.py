"""Kafka clients. No other package creates any, because several defaults of kafka-python 3.0 lose events, block or leak.

Create clients after the fork and never share one between processes: a forked producer accepts records and sends none.
"""

from apps.events.brokers.kafka.log import limit_repeats

limit_repeats()
