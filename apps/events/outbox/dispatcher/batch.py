"""A batch of the dispatcher: rows with the messages made of them, in rounds that keep the order of each key."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from apps.events.brokers.rabbitmq.messages import Outgoing, outgoing_of
from apps.events.outbox.dispatcher.query import Row, next_rows
from apps.events.outbox.parking import Poison
from apps.events.outbox.rows import FetchSpec


class Item(NamedTuple):
    """A row and its message, or the reason why none can be made of it."""

    row: Row
    message: Outgoing | None
    poison: Poison | None = None

    @property
    def row_id(self) -> int:
        return self.row.id


def fetch(spec: FetchSpec) -> list[Item]:
    """Raises DatabaseError."""
    return [_item(row) for row in next_rows(spec)]


def without_poison(items: Iterable[Item]) -> Iterator[Item]:
    """The items that can be sent: of each key, those before its first item without a message."""
    blocked: set[UUID] = set()
    for item in items:
        if item.poison is not None:
            blocked.add(item.row.key)
        elif item.row.key not in blocked:
            yield item


def rounds(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in rounds with one item a key, so that an unconfirmed row holds the later rows of its key back."""
    rest = list(items)
    while rest:
        seen: set[UUID] = set()
        this_round: list[Item] = []
        later: list[Item] = []
        for item in rest:
            (later if item.row.key in seen else this_round).append(item)
            seen.add(item.row.key)
        yield this_round
        rest = later


def _item(row: Row) -> Item:
    if row.envelope is None:
        return Item(row, None, _poison(row, "unknown", "missing", "The event store has no such event."))
    try:
        return Item(row, outgoing_of(row.envelope))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        return Item(row, None, _poison(row, row.envelope.event_type, "unreadable", detail))


def _poison(row: Row, event_type: str, reason: str, detail: str) -> Poison:
    return Poison(row.id, row.key, row.event_id, event_type, row.destination, reason, detail)
