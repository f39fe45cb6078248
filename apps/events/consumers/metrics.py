"""Prometheus metrics of the consumers."""

from prometheus_client import Counter, Gauge

events = Counter("consumer_events_total", "Events of a group, by result.", ["group", "result"])
dead_letters = Counter("consumer_dead_letters_total", "Events that a group dead-lettered.", ["group", "reason"])
rejected = Counter("status_messages_rejected_total", "Status messages that failed and went to the retry router.")
lag = Gauge("consumer_lag", "Events in Kafka that the group has not handled yet.", ["group", "topic", "partition"])
breaker_open = Gauge("consumer_breaker_open", "1 while a group is halted: too many events in a row fail.", ["group"])
reconnects = Counter("consumer_reconnects_total", "New Kafka clients of a group after a stall.", ["group"])
