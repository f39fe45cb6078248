"""Traffic of bots on a topic of the test, and the expected read models."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.events.consumers.delivery import deliver_batch
from apps.events.consumers.registry import registrations_for
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from tests.factories.bots import Story
from tests.integration.bots.stories import everything, forget
from tests.support.relaying import ROOT, test_environment

_TO_THE_TOPIC = "UPDATE events.outbox SET destination = %s WHERE event_id = ANY(%s::uuid[]) AND transport = 'kafka'"
_NO_JOURNAL = "DELETE FROM events.outbox WHERE event_id = ANY(%s::uuid[]) AND transport = 'kafka'"


class Traffic:
    """Publishes events of some bots at a steady rate, in a thread. Two of four events are trades."""

    def __init__(self, topic: str | None = None, *, bots: int = 6) -> None:
        self.published = 0
        self._topic = topic
        self._stories = [Story() for _ in range(bots)]
        self._stop = threading.Event()

    def publish(self, rounds: int) -> list[UUID]:
        """Four events a round; each round is of the next bot."""
        return [event_id for number in range(rounds) for event_id in self._round(number)]

    @contextmanager
    def running(self, *, events_per_second: float) -> Iterator[None]:
        thread = threading.Thread(target=self._run, args=(events_per_second,))
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self, events_per_second: float) -> None:
        try:
            began, before = time.monotonic(), self.published
            while not self._stop.is_set():
                self._round(self.published // 4)
                ahead = (self.published - before) / events_per_second - (time.monotonic() - began)
                self._stop.wait(max(0.0, ahead))
        finally:
            connection.close()

    def _round(self, number: int) -> list[UUID]:
        story = self._stories[number % len(self._stories)]
        turn = number // len(self._stories)
        told = [
            (story.started if turn % 2 else story.stopped)(),
            story.traded("sell" if turn % 3 == 2 else "buy", volume=f"0.{1 + turn % 9}"),
            story.account_traded("buy"),
            story.skipped() if turn % 2 else story.failed(is_final=turn % 4 == 0),
        ]
        with transaction.atomic():
            ids = [publish(each.message(), now=timezone.now(), user_id=story.user_id) for each in told]  # type: ignore[arg-type]
            with connection.cursor() as cursor:
                # Status messages are in the outbox twice, the second time for the journal: nothing reads that here.
                cursor.execute(_NO_JOURNAL, [[ids[0], ids[3]]] if turn % 2 == 0 else [[ids[0]]])
                if self._topic:
                    cursor.execute(_TO_THE_TOPIC, [self._topic, ids])
        self.published += len(ids)
        return ids


@contextmanager
def consumers(topic: str) -> Iterator["subprocess.Popen[bytes]"]:
    module = "tests.integration.audit.read_model_consumers"
    process = subprocess.Popen([sys.executable, "-m", module, topic], cwd=ROOT, env=test_environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def handled() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM events.inbox WHERE consumer = %s", [READ_MODELS])
        return int(cursor.fetchone()[0])


def deliver_from_store() -> None:
    """Delivers every stored event to the group in the order of recording, without a rebuild."""
    names = [name for name, _ in registrations_for(READ_MODELS)]
    rows = StoredEvent.objects.filter(event_type__in=names).order_by("recorded_at")
    envelopes = [envelope_of(row) for row in rows]
    for start in range(0, len(envelopes), 100):
        deliver_batch(envelopes[start : start + 100], group=READ_MODELS)


def by_consumption_alone() -> dict[str, list[dict[str, Any]]]:
    """The rows of the read models as consumers write them from the stored events, without a rebuild."""
    forget("bot-read-models")
    deliver_from_store()
    return everything()
