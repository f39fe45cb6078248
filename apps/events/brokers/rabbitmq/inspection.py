"""Validation of inbound messages: rejects what no process of this platform can have sent.

The worker, the retry router and a redrive share it: an invalid message is not passed to Celery, not retried and not
redriven. Celery itself would end the worker's process on many invalid messages.
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

# The payload plus room for Celery's envelope.
MAX_BODY_BYTES = 2 * MAX_PAYLOAD_BYTES
MAX_DEPTH = 32

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# CC and BCC are interpreted by RabbitMQ only.
_IGNORED_HEADERS = ("x-", "tracestate", "baggage", "CC", "BCC")
_EMBEDDED = {"callbacks", "errbacks", "chain", "chord"}
_MAX_REASON_LENGTH = 300
_MAX_HEADER_LENGTH = 4096


class InvalidMessage(Exception):
    """Says what is wrong with a message, as a sentence."""


@dataclass(frozen=True)
class InboundMessage:
    """A message as read from a queue.

    `queue` is the work queue that it is in, or was in before it was dead-lettered.
    """

    queue: str
    headers: Mapping[Any, Any]
    body: bytes
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"


def rejection_reason(inbound: InboundMessage) -> str:
    """Why the message is invalid, so that no attempt can succeed; empty if it is valid.

    Messages in the queue of a further subscriber are not checked. An unknown version is valid: a newer process may have
    sent it.
    """
    try:
        _check(inbound)
    except InvalidMessage as error:
        return str(error)[:_MAX_REASON_LENGTH]
    except PlatformError as error:
        return error.message[:_MAX_REASON_LENGTH]
    except Exception as error:
        # A message that makes the validation itself fail is invalid too.
        return f"No process of this platform can have sent this message: {type(error).__name__}."
    return ""


def _check(inbound: InboundMessage) -> None:
    kind = _kind_of(inbound.queue)
    if kind is None:
        return
    if UNDECODABLE in inbound.headers:
        raise InvalidMessage(str(inbound.headers[UNDECODABLE]))
    if len(inbound.body) > MAX_BODY_BYTES:
        raise InvalidMessage(f"It is {len(inbound.body)} bytes; at most {MAX_BODY_BYTES} fit.")
    if kind is Status:
        envelope_from(inbound.headers, inbound.body).message()
        return
    payload = _payload_of(inbound, kind)
    version = version_of(inbound.headers)
    if version < 1:
        raise InvalidMessage("Its version is not a number.")
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


def _payload_of(inbound: InboundMessage, kind: type[Message]) -> dict[str, Any]:
    """The keyword arguments of the Celery task that the message is. Raises NotOurs, and what reading JSON raises."""
    _check_headers(inbound, kind)
    if inbound.content_type != "application/json" or str(inbound.content_encoding).lower() != "utf-8":
        raise InvalidMessage("Its content is not JSON in UTF-8.")
    body = orjson.loads(inbound.body)
    if not isinstance(body, list) or len(body) != 3:
        raise InvalidMessage("Its body is not [arguments, keyword arguments, options] of a Celery task.")
    arguments, payload, options = body
    if arguments != [] or not isinstance(payload, dict):
        raise InvalidMessage("A command's arguments are named, and an object.")
    if options is not None and not (isinstance(options, dict) and _is_empty(options)):
        raise InvalidMessage("A command has no callbacks and belongs to no chain.")
    if not _is_nested_within(payload, MAX_DEPTH):
        raise InvalidMessage(f"Its arguments are nested deeper than {MAX_DEPTH}.")
    if loads(inbound.body, "application/json", "utf-8", accept={"application/json"}) != body:
        raise InvalidMessage("Its arguments hold what only Celery would read as other values.")
    return payload


def _is_empty(options: dict[str, Any]) -> bool:
    return options.keys() <= _EMBEDDED and not any(options.values())


def _is_nested_within(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(depth > 0 and _is_nested_within(child, depth - 1) for child in children)


def _check_headers(inbound: InboundMessage, kind: type[Message]) -> None:
    headers = inbound.headers
    if len(repr(headers)) > MAX_PAYLOAD_BYTES:
        raise InvalidMessage("Its headers are larger than the largest payload.")
    for name in ("task", "id"):
        if name not in headers:
            raise InvalidMessage(f"It has no header {name!r}, so it is not a Celery task.")
    if headers["task"] != inbound.queue:
        raise InvalidMessage(f"It is not the task {inbound.queue}, which this queue is for.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _is_known_header(name, value, kind):
            raise InvalidMessage(f"Its header {str(name)[:40]!r} is none that a command of this platform has.")


def _is_known_header(name: str, value: Any, kind: type[Message]) -> bool:
    if name == "expires":
        # Celery silently drops an expired task: right for a wake-up message, but a command has its own expiry.
        return value is None or (kind is WakeUp and _is_time(value))
    if name in _CELERY_HEADERS:
        return _CELERY_HEADERS[name](value)
    if name.startswith(PREFIX):
        return isinstance(value, str) and _ENVELOPE_HEADERS.get(name, _is_text)(value)
    if name == "traceparent":
        return _is_traceparent(value)
    return name.startswith(_IGNORED_HEADERS)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_HEADER_LENGTH


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


_CELERY_HEADERS: dict[str, Callable[[Any], bool]] = {
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
_ENVELOPE_HEADERS: dict[str, Callable[[Any], bool]] = {
    f"{PREFIX}correlationid": _is_uuid,
    f"{PREFIX}traceparent": _is_traceparent,
}
