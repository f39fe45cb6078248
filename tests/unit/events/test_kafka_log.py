"""During an outage the Kafka library's log stays readable."""

import logging

from apps.events.brokers.kafka.log import OncePerInterval, limit_repeats


def _record(line: int, text: str = "Request timed out after %d ms") -> logging.LogRecord:
    return logging.LogRecord("kafka.net.connection", logging.WARNING, "connection.py", line, text, (line,), None)


def test_what_is_said_again_soon_is_said_once() -> None:
    once = OncePerInterval(seconds=60)
    assert [once.filter(_record(1)) for _ in range(3)] == [True, False, False]


def test_different_messages_do_not_silence_each_other() -> None:
    once = OncePerInterval(seconds=60)
    assert [once.filter(_record(line)) for line in (1, 2, 1)] == [True, True, False]


def test_after_a_while_it_is_said_again() -> None:
    once = OncePerInterval(seconds=0.0)
    assert [once.filter(_record(1)) for _ in range(2)] == [True, True]


def test_loggers_are_thinned_once_however_often_it_is_asked_for() -> None:
    limit_repeats()
    limit_repeats()
    filters = [each for each in logging.getLogger("kafka.net.connection").filters if isinstance(each, OncePerInterval)]
    assert len(filters) == 1
