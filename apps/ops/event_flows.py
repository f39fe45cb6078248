"""docs/events.md: the way of every message, from the catalogue, the registered consumers and the process table."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from django.apps import apps as app_registry

import apps
from apps.core.markdown import markdown_table
from apps.core.process_table import PROCESSES
from apps.events.brokers.topology import rabbitmq
from apps.events.consumers.process import PROCESS_OF_SERVICE
from apps.events.consumers.registry import groups, load_consumers, registrations_for
from apps.messages.base import Command, Message, Status, WakeUp, all_messages
from apps.messages.topics import TOPICS

_INTRODUCTION = """\
# Event flows

Each message with where it is published, what carries it, and who handles it. Written from the catalogue in
`apps/messages`, the registered consumers and the process table by `manage.py check_contracts --write`; `make check`
fails where it is stale. Payloads are in the [AsyncAPI document](asyncapi.json); how delivery works, in
[messaging](messaging.md); the three main flows, in [flows](flows.md).

Every event, command and status message is first a row of the event store and of the outbox, in the transaction that
changes what it tells of. Commands and status messages also go to a Kafka topic, for auditors (their journal). Consumers
that are not the platform's may read any topic in a group of their own, and bind queues of their own to
`muckard.status`."""


def as_markdown() -> str:
    """The whole page."""
    load_consumers()
    messages = all_messages()
    parts = [_INTRODUCTION]
    for topic in TOPICS:
        days = topic.retention.days
        parts.append(f"## Topic {topic.name}\n\nPartitions: {topic.partitions}; kept for {days} days.")
        chosen = [each for each in messages if each.declaration.destination == topic.name]
        parts.append(_table(chosen, "handled by"))
    commands = [each for each in messages if issubclass(each, Command)]
    parts += ["## Commands\n\nEach to the queue of its name, by the dispatcher.", _table(commands, "run by")]
    status = [each for each in messages if issubclass(each, Status)]
    parts += [f"## Status messages and alerts\n\nTo the exchange `{rabbitmq.STATUS}`.", _table(status, "handled by")]
    wake_ups = [each for each in messages if issubclass(each, WakeUp)]
    parts += ["## Wake-up messages\n\nStraight to their queue, never stored.", _table(wake_ups, "run by")]
    return "\n\n".join(parts) + "\n"


def _table(messages: Sequence[type[Message]], last: str) -> str:
    columns = ("message", "when", "key", "published in", "journal", last)
    return markdown_table(columns, map(_cells, messages))


def _cells(message: type[Message]) -> tuple[str, ...]:
    declared = message.declaration
    version = f" v{declared.version}" if declared.version > 1 else ""
    priority = ", high priority" if declared.priority.suffix else ""
    handlers = ", ".join(_handlers(message)) or "no group of the platform"
    published = ", ".join(f"`{name}`" for name in _publishers(message)) or "nowhere yet"
    return (
        f"`{declared.name}`{version}{priority}",
        _meaning(message),
        declared.key_field,
        published,
        declared.journal or "–",
        handlers,
    )


def _meaning(message: type[Message]) -> str:
    first = " ".join((message.__doc__ or "").split()).partition(". ")[0].removesuffix(".")
    return first.replace("|", "\\|") or "–"


def _handlers(message: type[Message]) -> Iterator[str]:
    declared = message.declaration
    if issubclass(message, Command | WakeUp):
        yield from (f"{process.name}" for process in PROCESSES.values() if declared.destination in process.queues)
        return
    for group in groups():
        registration = registrations_for(group).get((declared.name, declared.version))
        if registration is not None:
            module = registration.function.__module__
            is_from_kafka = registration.takes_from_kafka(message)
            process = _consumer_of(module) if is_from_kafka else "status-consumer"
            yield f"{process}, group `{group}` (`{module.replace('.', '/')}.py`)"


def _consumer_of(module: str) -> str:
    """The process that reads from Kafka for the service that has the handler's app."""
    app = app_registry.get_containing_app_config(module)
    service = "user" if getattr(app, "db_schema", "") == "users" else "kraken"
    return PROCESS_OF_SERVICE[service]


def _publishers(message: type[Message]) -> list[str]:
    """The modules that make messages of the class; where none names it in a call, those that name it at all."""
    name = re.escape(message.__name__)
    for pattern in (rf"\b{name}\(", rf"\b{name}\b"):
        found = [path for path, text in _sources().items() if re.search(pattern, text)]
        if found:
            return found
    return []


@cache
def _sources() -> dict[str, str]:
    """The code that can publish: without the catalogue, consumers, tasks and what is generated."""
    root = Path(apps.__path__[0])
    kept = (
        path
        for path in sorted(root.rglob("*.py"))
        if not {"messages", "migrations"} & set(path.relative_to(root).parts)
        and path.name not in {"consumers.py", "tasks.py", "projections.py"}
    )
    return {str(path.relative_to(root.parent)): path.read_text(encoding="utf-8") for path in kept}
