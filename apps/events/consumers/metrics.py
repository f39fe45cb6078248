"""Prometheus metrics of the consumers."""

from apps.core.metrics import WAITS, counter, gauge, histogram

KAFKA = ("event-consumer", "user-consumer")
RABBITMQ = ("status-consumer",)

events = counter(
    "consumer_events_total", "Events of a group, by result.", ["group", "result"], processes=KAFKA + RABBITMQ
)
delay = histogram(
    "consumer_delay_seconds", "From the publication of an event to the end of its handler, replays apart.", ["group"],
    processes=KAFKA + RABBITMQ, buckets=WAITS,
)  # fmt: skip
dead_letters = counter(
    "consumer_dead_letters_total", "Events that a group dead-lettered.", ["group", "reason"], processes=KAFKA
)
waiting_dead_letters = gauge(
    "consumer_dead_letters_waiting",
    "Dead-lettered events of a group that wait for a redrive.",
    ["group"],
    processes=KAFKA,
)
rejected = counter(
    "status_messages_rejected_total", "Status messages that failed and went to the retry router.", processes=RABBITMQ
)
lag = gauge(
    "consumer_lag", "Events in Kafka that the group has not handled yet.", ["group", "topic", "partition"],
    processes=KAFKA,
)  # fmt: skip
breaker_open = gauge(
    "consumer_breaker_open", "1 while a group is halted: too many events in a row fail.", ["group"], processes=KAFKA
)
reconnects = counter(
    "consumer_reconnects_total", "New Kafka clients of a group after a stall.", ["group"], processes=KAFKA
)
