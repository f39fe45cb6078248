"""Publishes one message of each class, for tests of the whole platform, and says what has become of each.

Runs in a process of the platform, as the staff site, which may read what all services wrote.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.audit.models import Leaf
from apps.core.ids import new_id
from apps.events.consumers import registry
from apps.events.models import CommandExecution, DeadLetter, InboxEntry, StoredEvent
from apps.events.store.publish import dispatch, publish
from apps.messages.base import Command, Message, all_messages
from tests.unit.upgrade.record import ID, MOMENT, sample

# A command that comes late is dropped without being tried.
LIFE = timedelta(minutes=10)
# Texts that tables take few values of
STATES = {"bot.order.": {"state": "sending"}}
# What is not published here, and where it is tried
ELSEWHERE = {
    # It tells every service that the database is another one, and bots wait.
    "audit.restored.v1": "tests/integration/audit/test_point_in_time_recovery.py",
    # The scheduler sends wake-ups itself, and nothing stores them.
    "bot.tick.v1": "tests/integration/trading/test_scheduler.py",
}


def title(message: type[Message]) -> str:
    return f"{message.declaration.name}.v{message.declaration.version}"


def titles() -> list[str]:
    return [title(message) for message in all_messages() if title(message) not in ELSEWHERE]


def example(message: type[Message], *, now: datetime) -> Message:
    """A message whose ids nobody has, and whose times are of now."""
    schema = message.model_json_schema()
    content = _of_now("", sample(schema, schema.get("$defs", {})), new_id(), now)
    for names, values in STATES.items():
        if message.declaration.name.startswith(names):
            content |= values
    return message.model_validate(content)


def _of_now(name: str, value: Any, own_id: UUID, now: datetime) -> Any:
    match value:
        case dict():
            return {key: _of_now(key, each, own_id, now) for key, each in value.items()}
        case list():
            return [_of_now(name, each, own_id, now) for each in value]
        case _ if value == MOMENT:
            return (now + LIFE if name in ("expires_at", "deadline") else now).isoformat()
        case _ if value == ID:
            return str(new_id() if name == "command_id" else own_id)
    return value


def send(wanted: list[str]) -> dict[str, str]:
    """Publishes these messages, each in a transaction of its own. The id of each, by its title."""
    sent = {}
    for message in all_messages():
        if title(message) in wanted:
            now = datetime.now(UTC)
            content = example(message, now=now)
            with transaction.atomic():
                event_id = dispatch(content, now=now) if isinstance(content, Command) else publish(content, now=now)  # type: ignore[arg-type]
            sent[title(message)] = str(event_id)
    return sent


def groups_of(message: type[Message]) -> set[str]:
    """The consumer groups that handle a message."""
    identity = (message.declaration.name, message.declaration.version)
    return {group for group in registry.groups() if identity in registry.registrations_for(group)}


def fate(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """By title: who consumed the message and who is to, how its command ended, whether it is stored and sealed."""
    registry.load_consumers()
    wanted = list(ids.values())
    consumed: dict[str, set[str]] = {}
    for consumer, event_id in InboxEntry.objects.filter(event_id__in=wanted).values_list("consumer", "event_id"):
        consumed.setdefault(str(event_id), set()).add(consumer)
    executions = CommandExecution.objects.filter(command_id__in=wanted).values_list("command_id", "state", "reason")
    ended = {str(command): (state, reason) for command, state, reason in executions}
    letters = DeadLetter.objects.filter(event_id__in=wanted).values_list("event_id", "consumer", "error")
    stored = {str(each) for each in StoredEvent.objects.filter(event_id__in=wanted).values_list("event_id", flat=True)}
    sealed = {str(each) for each in Leaf.objects.filter(event_id__in=wanted).values_list("event_id", flat=True)}
    dead = {str(event_id): f"{consumer}: {error}" for event_id, consumer, error in letters}
    return {
        title(message): {
            "consumers": sorted(groups_of(message)),
            "consumed": sorted(consumed.get(ids[title(message)], ())),
            "is_command": issubclass(message, Command),
            "execution": ended.get(ids[title(message)]),
            "dead_letter": dead.get(ids[title(message)]),
            "is_stored": ids[title(message)] in stored,
            "is_sealed": ids[title(message)] in sealed,
        }
        for message in all_messages()
        if title(message) in ids
    }


def main() -> None:
    """Reads `{"send": [title, …]}` or `{"fate": {title: id, …}}` and writes the answer, as JSON."""
    asked = json.load(sys.stdin)
    answer: Any = send(asked["send"]) if "send" in asked else fate(asked["fate"])
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
