"""Messages that none of our processes sends, made from one that they do send."""

import gzip
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from struct import pack
from typing import Any
from uuid import UUID

import amqp
import orjson

from apps.events.brokers.rabbitmq.messages import Outgoing

Shape = Callable[[amqp.Message], amqp.Message]


class RawMessage(amqp.Message):
    """With properties written byte by byte, as no client library would."""

    def __init__(self, body: bytes, properties: bytes) -> None:
        super().__init__(body)
        self._bytes = properties

    def _serialize_properties(self) -> bytes:
        return self._bytes


def as_sent(outgoing: Outgoing, shape: Shape) -> Outgoing:
    """The message in another shape, on the way to the same queue."""
    return Outgoing(outgoing.message_id, outgoing.exchange, outgoing.routing_key, shape(deepcopy(outgoing.message)))


def bytes_of(message: amqp.Message) -> bytes:
    return message.body.encode() if isinstance(message.body, str) else message.body


def body(value: bytes) -> Shape:
    def change(message: amqp.Message) -> amqp.Message:
        message.body = value
        return message

    return change


def properties(**changes: Any) -> Shape:
    def change(message: amqp.Message) -> amqp.Message:
        message.properties |= changes
        return message

    return change


def headers(**changes: Any) -> Shape:
    """Other values of headers; Ellipsis takes one away. Two underscores stand for a character that is no name."""

    def change(message: amqp.Message) -> amqp.Message:
        given = message.properties["application_headers"] | changes
        message.properties["application_headers"] = {name: value for name, value in given.items() if value is not ...}
        return message

    return change


def no_headers(message: amqp.Message) -> amqp.Message:
    del message.properties["application_headers"]
    return message


def no_properties(message: amqp.Message) -> amqp.Message:
    return amqp.Message(message.body)


def arguments(**changes: Any) -> Shape:
    """Other keyword arguments of the task."""

    def change(message: amqp.Message) -> amqp.Message:
        positional, named, options = orjson.loads(message.body)
        message.body = orjson.dumps([positional, named | changes, options])
        return message

    return change


def options(value: Any) -> Shape:
    def change(message: amqp.Message) -> amqp.Message:
        message.body = orjson.dumps([*orjson.loads(message.body)[:2], value])
        return message

    return change


def protocol_one(message: amqp.Message) -> amqp.Message:
    """As Celery sent it until version 4, and still reads it."""
    task = message.properties["application_headers"]
    named = orjson.loads(message.body)[1]
    message.body = orjson.dumps({"task": task["task"], "id": task["id"], "args": [], "kwargs": named})
    return no_headers(message)


def compressed(message: amqp.Message) -> amqp.Message:
    message.body = gzip.compress(bytes_of(message))
    return headers(compression="application/x-gzip")(message)


def raw_header(kind: bytes, value: bytes) -> Shape:
    def change(message: amqp.Message) -> amqp.Message:
        table = b"\x04task" + kind + value
        return RawMessage(bytes_of(message), pack(">H", 0x2000) + pack(">I", len(table)) + table)

    return change


def raw_content_type(message: amqp.Message) -> amqp.Message:
    return RawMessage(bytes_of(message), pack(">H", 0x8000) + b"\x02\xff\xfe")


def raw_header_name(message: amqp.Message) -> amqp.Message:
    table = b"\x02\xff\xfeV"
    return RawMessage(bytes_of(message), pack(">H", 0x2000) + pack(">I", len(table)) + table)


def nested_tables(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01xF" + pack(">I", len(table)) + table
    return pack(">I", len(table)) + table


def deep(depth: int) -> bytes:
    return b'[[], {"a": ' + b"[" * depth + b"]" * depth + b"}, {}]"


BODIES = {
    "null": b"null",
    "a number": b"7",
    "true": b"true",
    "a text": b'"start"',
    "no list": b"{}",
    "empty list": b"[]",
    "list of two": b"[[], {}]",
    "list of nulls": b"[null, null, null]",
    "list of four": b"[[], {}, {}, {}]",
    "named arguments as a list": b"[[], [], {}]",
    "named arguments as a text": b'[[], "a", {}]',
    "no named arguments": b"[[], {}, {}]",
    "positional arguments": b"[[1], {}, {}]",
    "nothing": b"",
    "no JSON": b"hello",
    "not UTF-8": b"\xff\xfe\x00",
    "half a JSON": b"[[], {",
    "NaN": b"[[], NaN, {}]",
    "a lone surrogate": b'[[], {"a": "\\ud800"}, {}]',
    "a number of 5000 digits": b'[[], {"a": ' + b"9" * 5000 + b"}, {}]",
    "nested 100 deep": deep(100),
    "nested 100 000 deep": deep(100_000),
    "2 MB": b'[[], {"a": "' + b"x" * 2_000_000 + b'"}, {}]',
}
HEADERS: dict[str, dict[str, Any]] = {
    "no task": {"task": ...},
    "a task that is not there": {"task": "no.such.task"},
    "another queue's task": {"task": "kraken.key.test.failed"},
    "a built-in task": {"task": "celery.backend_cleanup"},
    "a number for a task": {"task": 7},
    "a table for a task": {"task": {"a": [1, None]}},
    "no id": {"id": ...},
    "null for an id": {"id": None},
    "a table for an id": {"id": {"a": 1}},
    "a list for an id": {"id": [1]},
    "an id that is no UUID": {"id": "../../etc"},
    "an eta": {"eta": "2030-01-01T00:00:00+00:00"},
    "an eta of nonsense": {"eta": "soon"},
    "an eta as a number": {"eta": 5},
    "a late eta": {"eta": "9999-12-31T23:59:59+00:00"},
    "expires of nonsense": {"expires": "soon"},
    "expires as a table": {"expires": {"a": 1}},
    "another language": {"lang": "java"},
    "retries as a text": {"retries": "many"},
    "retries of a thousand": {"retries": 1000},
    "a time limit of nonsense": {"timelimit": "long"},
    "a time limit of one": {"timelimit": [1]},
    "a time limit of texts": {"timelimit": ["a", "b"]},
    "a root id as a table": {"root_id": {"a": 1}},
    "argsrepr as a table": {"argsrepr": {"a": datetime(2026, 1, 1, tzinfo=UTC)}},
    "kwargsrepr as a number": {"kwargsrepr": 7},
    "a shadow": {"shadow": {"a": 1}},
    "a group": {"group": "a"},
    "stamps": {"stamps": {"a": [Decimal("1.5")]}, "stamped_headers": [1]},
    "callbacks": {"callbacks": [1], "chord": "a"},
    "a header that Celery keeps for itself": {"delivery_info": 3},
    "a method of Celery's context": {"get": 1, "update": 2},
    "results wanted": {"ignore_result": False},
    "compression that is not there": {"compression": "application/x-nothing"},
    "compression of nothing compressed": {"compression": "application/x-gzip"},
    "compression as a table": {"compression": {"a": 1}},
    "a correlation that is no UUID": {"cloudEvents_correlationid": "x"},
    "a correlation as a table": {"cloudEvents_correlationid": {"a": 1}},
    "a trace of nonsense": {"traceparent": "x" * 500},
    "a version of nonsense": {"cloudEvents_schemaversion": "one"},
    "a version of 5000 digits": {"cloudEvents_schemaversion": "9" * 5000},
    "a version as a table": {"cloudEvents_schemaversion": {"a": datetime(2026, 1, 1, tzinfo=UTC)}},
    "headers of 100 000 bytes": {"x-more": "x" * 100_000},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "a bot that is no UUID": {"bot_id": "x"},
    "an argument too many": {"self": 1},
    "a value of Celery's own": {"bot_id": {"__type__": "uuid", "__value__": {"hex": "x"}}},
    "a type that Celery does not know": {"bot_id": {"__type__": "x", "__value__": 1}},
    "null for its bot": {"bot_id": None},
}

SHAPES: dict[str, Shape] = {
    **{f"body: {name}": body(value) for name, value in BODIES.items()},
    **{f"header: {name}": headers(**changes) for name, changes in HEADERS.items()},
    **{f"argument: {name}": arguments(**changes) for name, changes in ARGUMENTS.items()},
    "options: callbacks": options({"callbacks": [{"task": "bot.stop"}]}),
    "options: a list": options([1]),
    "options: a number": options(3),
    "no headers": no_headers,
    "no properties": no_properties,
    "protocol 1": protocol_one,
    "compressed": compressed,
    "content type: pickle": properties(content_type="application/x-python-serialize"),
    "content type: yaml": properties(content_type="application/x-yaml"),
    "content type: unknown": properties(content_type="a/b"),
    "content encoding: unknown": properties(content_encoding="klingon"),
    "content encoding: UTF-16": properties(content_encoding="utf-16"),
    "content encoding: binary": properties(content_encoding="binary"),
    "wire: a time beyond the year 9999": raw_header(b"T", b"\xff" * 8),
    "wire: a header of bytes": raw_header(b"x", b"\x00\x00\x00\x02\xff\xfe"),
    "wire: a header that is not UTF-8": raw_header(b"S", b"\x00\x00\x00\x02\xff\xfe"),
    "wire: a small decimal": raw_header(b"D", b"\xff\x00\x00\x00\x01"),
    "wire: a content type that is not UTF-8": raw_content_type,
    "wire: a name that is not UTF-8": raw_header_name,
    "wire: tables nested 2000 deep": raw_header(b"F", nested_tables(2000)),
}


def command_id_of(outgoing: Outgoing) -> UUID:
    return UUID(orjson.loads(outgoing.message.body)[1]["command_id"])
