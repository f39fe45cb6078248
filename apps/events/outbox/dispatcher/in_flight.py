"""Rows in flight to RabbitMQ: at most one of each key, deleted from the outbox once it is confirmed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from apps.core import tracing
from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Delivery, Verdict
from apps.events.outbox import metrics
from apps.events.outbox.admission import Admission
from apps.events.outbox.dispatcher import query
from apps.events.outbox.dispatcher.batch import Item
from apps.events.outbox.dispatcher.query import TRANSPORT, Row
from apps.events.outbox.dispatcher.queue_backoff import QueueBackoff
from apps.events.outbox.rows import delete_rows

_REASONS = {
    Verdict.REFUSED: "The queue is full.",
    Verdict.UNROUTABLE: "No queue takes it: run `manage.py declare_topology`.",
}


def _trace(rows: Sequence[Row]) -> None:
    """A span of each message, from its publication to its confirm: how long it was in the outbox."""
    if not tracing.is_on():
        return
    now = timezone.now()
    for envelope in (row.envelope for row in rows if row.envelope is not None):
        tracing.record(
            f"dispatch {envelope.event_type}",
            kind=tracing.Kind.PRODUCER,
            parent=envelope.traceparent,
            began_at=min(envelope.occurred_at, now),
            ended_at=now,
            event_id=envelope.event_id,
            transport=TRANSPORT,
        )


class _Sent(NamedTuple):
    row: Row
    delivery: Delivery


class InFlight:
    """Tracks sent rows until they are deleted from the outbox, also over a database outage."""

    def __init__(self, publisher: ConfirmedPublisher, admission: Admission, queue_backoff: QueueBackoff) -> None:
        self._publisher = publisher
        self._admission = admission
        self._queue_backoff = queue_backoff
        self._sent: dict[UUID, _Sent] = {}

    @property
    def row_ids(self) -> tuple[int, ...]:
        return tuple(sent.row.id for sent in self._sent.values())

    def send(self, items: Sequence[Item], *, seconds: float) -> set[UUID]:
        """Sends one row a key, of keys that are not in flight, and handles the confirms that have arrived meanwhile.

        Returns the keys whose row was not sent. Raises BrokerUnavailable, DatabaseError.
        """
        sent = [_Sent(item.row, Delivery(item.message)) for item in items if item.message is not None]
        self._sent.update((each.row.key, each) for each in sent)
        try:
            self._publisher.send([each.delivery for each in sent], seconds=seconds)
        except BrokerUnavailable:
            self._give_up()
            raise
        return self._handle_confirms()

    def settle(self, keys: Iterable[UUID] | None = None, *, seconds: float) -> set[UUID]:
        """Waits for the confirms of these keys, or of everything in flight. Returns and raises as `send` does."""
        waited_for = self._sent.keys() if keys is None else [key for key in keys if key in self._sent]
        if not waited_for:
            return set()
        try:
            self._publisher.settle([self._sent[key].delivery for key in waited_for], seconds=seconds)
        except BrokerUnavailable:
            self._give_up()
            raise
        return self._handle_confirms()

    def abandon(self) -> None:
        """Drops the connection and forgets the rows: a lease was lost, and its next owner may already send them."""
        if self._sent:
            self._publisher.drop()
            self._sent.clear()

    def _give_up(self) -> None:
        """The connection is lost: rows without a confirm are fetched and sent again."""
        try:
            self._handle_confirms()
        finally:
            metrics.published.labels(TRANSPORT, "failed").inc(len(self._forget(Verdict.UNKNOWN)))

    def _handle_confirms(self) -> set[UUID]:
        held_back: set[UUID] = set()
        for verdict, reason in _REASONS.items():
            if refused := self._rows(verdict):
                query.note_failure([row.id for row in refused], reason)
                self._queue_backoff.refused({row.destination for row in refused}, reason)
                metrics.published.labels(TRANSPORT, "failed").inc(len(refused))
                held_back |= self._forget(verdict)
        confirmed = self._rows(Verdict.CONFIRMED)
        delete_rows([row.id for row in confirmed])
        if confirmed:
            self._admission.sent(len(confirmed))
        self._queue_backoff.accepted({row.destination for row in confirmed})
        metrics.published.labels(TRANSPORT, "confirmed").inc(len(confirmed))
        _trace(confirmed)
        self._forget(Verdict.CONFIRMED)
        return held_back | self._forget(Verdict.NOT_SENT)

    def _rows(self, verdict: Verdict) -> list[Row]:
        return [sent.row for sent in self._sent.values() if sent.delivery.verdict is verdict]

    def _forget(self, verdict: Verdict) -> set[UUID]:
        keys = {key for key, sent in self._sent.items() if sent.delivery.verdict is verdict}
        for key in keys:
            del self._sent[key]
        return keys
