"""Whether a message is one that a process of ours can have sent, and so can be handled at all.

One answer for everyone who meets a message: the worker, which hands no other to Celery; the retry router, which tries
no other again; and a redrive, which sends no other back. Celery itself would end a worker's process on many of them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from kombu.serialization import loads

from apps.core.errors import PlatformError
from apps.events.brokers.rabbitmq.decoding import UNDECODABLE
from apps.events.brokers.rabbitmq.headers import PREFIX, envelope_from, version_of
from apps.messages.base import (
    MAX_PAYLOAD_BYTES,
    Command,
    Message,
    Status,
    UnknownMessage,
    WakeUp,
    all_messages,
    message_class,
)

# The payload, with room for what Celery writes around it.
MAX_BODY_BYTES = 2 * MAX_PAYLOAD_BYTES
MAX_DEPTH = 32

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# CC and BCC speak to RabbitMQ alone.
_OTHER_HEADERS = ("x-", "tracestate", "baggage", "CC", "BCC")
_EMBEDDED = {"callbacks", "errbacks", "chain", "chord"}
_MOST_CHARACTERS = 300
_LONGEST_HEADER = 4096


class NotOurs(Exception):
    """What is wrong with a message, as a sentence."""


@dataclass(frozen=True)
class Inbound:
    """A message as it was taken from a queue. `queue` is the queue of work that it is, or was, in."""

    queue: str
    headers: Mapping[Any, Any]
    body: bytes
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"


def fault_of(inbound: Inbound) -> str:
    """Why no attempt at the message can succeed; empty where one can, or where the queue is a further subscriber's.

    A version that this process does not know is no fault: a newer process may have sent it.
    """
    try:
        _check(inbound)
    except NotOurs as fault:
        return str(fault)[:_MOST_CHARACTERS]
    except PlatformError as error:
        return error.message[:_MOST_CHARACTERS]
    except Exception as error:
        # Whatever it is: a message that cannot even be looked at is none of ours.
        return f"This is not a message of ours: {type(error).__name__}."
    return ""


def _check(inbound: Inbound) -> None:
    kind = _kind_of(inbound.queue)
    if kind is None:
        return
    if UNDECODABLE in inbound.headers:
        raise NotOurs(str(inbound.headers[UNDECODABLE]))
    if len(inbound.body) > MAX_BODY_BYTES:
        raise NotOurs(f"It is {len(inbound.body)} bytes; at most {MAX_BODY_BYTES} fit.")
    if kind is Status:
        envelope_from(inbound.headers, inbound.body).message()
        return
    payload = _payload_of(inbound, kind)
    version = version_of(inbound.headers)
    if version < 1:
        raise NotOurs("Its version is not a number.")
    try:
        declared = message_class(inbound.queue, version)
    except UnknownMessage:
        return
    declared.parse(orjson.dumps(payload))


def _kind_of(queue: str) -> type[Message] | None:
    for message in all_messages():
        if message.declaration.destination == queue:
            return next((kind for kind in (Command, Status, WakeUp) if issubclass(message, kind)), None)
    return None


def _payload_of(inbound: Inbound, kind: type[Message]) -> dict[str, Any]:
    """The keyword arguments of the Celery task that the message is. Raises NotOurs, and what reading JSON raises."""
    _check_headers(inbound, kind)
    if inbound.content_type != "application/json" or str(inbound.content_encoding).lower() != "utf-8":
        raise NotOurs("Its content is not JSON in UTF-8.")
    body = orjson.loads(inbound.body)
    if not isinstance(body, list) or len(body) != 3:
        raise NotOurs("Its body is not [arguments, keyword arguments, options] of a Celery task.")
    arguments, payload, options = body
    if arguments != [] or not isinstance(payload, dict):
        raise NotOurs("A command's arguments are named, and an object.")
    if options is not None and not (isinstance(options, dict) and _is_empty(options)):
        raise NotOurs("A command has no callbacks and belongs to no chain.")
    if not _is_within(payload, MAX_DEPTH):
        raise NotOurs(f"Its arguments are nested deeper than {MAX_DEPTH}.")
    if loads(inbound.body, "application/json", "utf-8", accept={"application/json"}) != body:
        raise NotOurs("Its arguments hold what only Celery would read as other values.")
    return payload


def _is_empty(options: dict[str, Any]) -> bool:
    return options.keys() <= _EMBEDDED and not any(options.values())


def _is_within(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(depth > 0 and _is_within(child, depth - 1) for child in children)


def _check_headers(inbound: Inbound, kind: type[Message]) -> None:
    headers = inbound.headers
    if len(repr(headers)) > MAX_PAYLOAD_BYTES:
        raise NotOurs("Its headers are larger than the largest payload.")
    for name in ("task", "id"):
        if name not in headers:
            raise NotOurs(f"It has no header {name!r}, so it is not a Celery task.")
    if headers["task"] != inbound.queue:
        raise NotOurs(f"It is not the task {inbound.queue}, which this queue is for.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _is_ours(name, value, kind):
            raise NotOurs(f"Its header {str(name)[:40]!r} is none that a command of ours has.")


def _is_ours(name: str, value: Any, kind: type[Message]) -> bool:
    if name == "expires":
        # Celery drops a task that is too late without a trace: right for a signal, but a command has its own time.
        return value is None or (kind is WakeUp and _is_time(value))
    if name in _CELERY:
        return _CELERY[name](value)
    if name.startswith(PREFIX):
        return isinstance(value, str) and _OURS.get(name, _is_text)(value)
    if name == "traceparent":
        return _is_traceparent(value)
    return name.startswith(_OTHER_HEADERS)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_HEADER


def _is_nothing(value: Any) -> bool:
    return not value


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_traceparent(value: Any) -> bool:
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


_CELERY: dict[str, Callable[[Any], bool]] = {
    "task": _is_text,
    "id": _is_uuid,
    "lang": lambda value: value == "py",
    "root_id": lambda value: value is None or _is_uuid(value),
    "parent_id": lambda value: value is None or _is_uuid(value),
    "retries": lambda value: type(value) is int and value == 0,
    "timelimit": lambda value: value is None or value == [None, None],
    "argsrepr": _is_text,
    "kwargsrepr": _is_text,
    "origin": _is_text,
    "ignore_result": lambda value: value is True,
    "replaced_task_nesting": _is_nothing,
    "stamps": _is_nothing,
    "stamped_headers": _is_nothing,
    "shadow": _is_nothing,
    "eta": _is_nothing,
    "group": _is_nothing,
    "group_index": _is_nothing,
}
_OURS: dict[str, Callable[[Any], bool]] = {
    f"{PREFIX}correlationid": _is_uuid,
    f"{PREFIX}traceparent": _is_traceparent,
}
