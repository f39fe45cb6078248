"""A rebuild under traffic: no event is lost or counted twice, and the old model serves until the new one is ready."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from apps.audit.replay import shadow
from apps.audit.replay.rebuild import Rebuild
from apps.bots.consumers import READ_MODELS
from apps.bots.models import BotStatus, BotTrade
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import DeadLetter, InboxEntry, OutboxRow, StoredEvent
from apps.events.store.selectors import envelope_of
from tests.integration.audit.traffic import (
    Traffic,
    by_consumption_alone,
    consumers,
    deliver_from_store,
    handled,
)
from tests.integration.bots.stories import everything
from tests.support.relaying import ROOT, another_session, manage, test_environment
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

load_consumers()


def _rebuild() -> str:
    err = StringIO()
    call_command("replay_events", into="bot-read-models", stdout=StringIO(), stderr=err)
    return err.getvalue()


def _spoil() -> None:
    """Damages the live model, as a fault would."""
    BotTrade.objects.filter(trade_id__in=list(BotTrade.objects.values_list("trade_id", flat=True)[:3])).delete()
    BotStatus.objects.update(trades=0, state="error")


def _deliver(event_id: UUID) -> bool:
    return deliver(envelope_of(StoredEvent.objects.get(event_id=event_id)), group=READ_MODELS)


@contextmanager
def _in_a_thread(work: Callable[[], Any]) -> Iterator[None]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert failures == []


def _waits_for_a_lock(part: str) -> bool:
    with another_session() as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE %s AND pid <> pg_backend_pid()",
            [f"%{part}%"],
        )
        return bool(cursor.fetchone()[0])


def test_a_rebuild_under_200_events_a_second_ends_in_what_consumption_alone_makes(topic: str) -> None:
    traffic = Traffic(topic)
    traffic.publish(500)
    with manage("run_relay"), consumers(topic):
        eventually(lambda: handled() >= 1_500, seconds=90)
        with traffic.running(events_per_second=200):
            _spoil()
            process = subprocess.run(
                [sys.executable, "manage.py", "replay_events", "--into", "bot-read-models"],
                cwd=ROOT, env=test_environment(), capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert process.returncode == 0, process.stderr
            assert int(re.findall(r"Replayed (\d+) events", process.stderr)[0]) >= 1_500
        eventually(lambda: handled() == traffic.published, seconds=90)

    rebuilt = everything()
    assert traffic.published > 1_800
    assert DeadLetter.objects.count() == 0
    assert rebuilt == by_consumption_alone()


def test_the_old_model_serves_while_the_new_one_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic()
    traffic.publish(8)
    deliver_from_store()
    right = everything()
    _spoil()
    old = everything()
    seen: list[tuple[int, str]] = []
    take, finish = Rebuild.take, shadow.Shadow.take_over

    def look() -> None:
        with another_session() as session, session.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM kraken.bot_trade), (SELECT min(state) FROM kraken.bot_status)")
            seen.append(cursor.fetchone())

    def take_and_look(self: Rebuild, envelopes: Any) -> None:
        take(self, envelopes)
        look()

    def finish_and_look(self: shadow.Shadow) -> int:
        differed = finish(self)
        look()
        return differed

    monkeypatch.setattr(Rebuild, "take", take_and_look)
    monkeypatch.setattr(shadow.Shadow, "take_over", finish_and_look)
    _rebuild()

    assert seen == [(len(old["BotTrade"]), "error")] * 2
    assert everything() == right


def test_only_rows_that_differ_are_written_and_the_command_says_how_many() -> None:
    Traffic(bots=4).publish(8)
    deliver_from_store()
    places = "SELECT trade_id, ctid::text FROM bot_trade ORDER BY trade_id"
    with connection.cursor() as cursor:
        cursor.execute(places)
        before = cursor.fetchall()
        assert "0 rows of the read model changed" in _rebuild()
        cursor.execute(places)
        assert cursor.fetchall() == before

    BotStatus.objects.filter(bot_id=BotStatus.objects.values("bot_id")[:1]).update(fees=0)
    BotTrade.objects.filter(trade_id=before[0][0]).delete()
    assert "2 rows of the read model changed" in _rebuild()


def test_an_event_that_a_consumer_handles_after_the_source_was_read_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traffic = Traffic()
    traffic.publish(8)
    deliver_from_store()
    take = Rebuild.take

    def take_while_others_work(self: Rebuild, envelopes: Any) -> None:
        monkeypatch.setattr(Rebuild, "take", take)

        def work() -> None:
            for event_id in traffic.publish(4):
                assert _deliver(event_id)

        with _in_a_thread(work):
            pass
        take(self, envelopes)

    monkeypatch.setattr(Rebuild, "take", take_while_others_work)
    assert "Replayed 48 events" in _rebuild()

    assert handled() == 48
    assert everything() == by_consumption_alone()


def test_an_event_whose_transaction_commits_after_the_take_over_comes_by_its_consumer() -> None:
    traffic = Traffic(bots=1)
    traffic.publish(2)
    deliver_from_store()
    may_commit, is_open = threading.Event(), threading.Event()
    late: list[UUID] = []

    def publish_slowly() -> None:
        with transaction.atomic():
            late.extend(Traffic(bots=1).publish(1))
            is_open.set()
            assert may_commit.wait(30)

    with _in_a_thread(publish_slowly):
        assert is_open.wait(30)
        assert "Replayed 8 events" in _rebuild()
        may_commit.set()

    assert [_deliver(event_id) for event_id in late] == [True] * 4
    assert everything() == by_consumption_alone()


def test_an_event_that_commits_late_and_is_handled_before_the_take_over_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event that was recorded before those of the source, and becomes visible after them."""
    may_commit, is_open, is_handled = threading.Event(), threading.Event(), threading.Event()
    late: list[UUID] = []

    def publish_slowly_and_handle() -> None:
        with transaction.atomic():
            late.extend(Traffic(bots=1).publish(1))
            is_open.set()
            assert may_commit.wait(30)
        assert [_deliver(event_id) for event_id in late] == [True] * 4
        is_handled.set()

    take = Rebuild.take

    def take_and_let_commit(self: Rebuild, envelopes: Any) -> None:
        take(self, envelopes)
        may_commit.set()
        assert is_handled.wait(30)

    monkeypatch.setattr(Rebuild, "take", take_and_let_commit)
    with _in_a_thread(publish_slowly_and_handle):
        assert is_open.wait(30)
        Traffic(bots=1).publish(2)
        deliver_from_store()
        assert "Replayed 12 events" in _rebuild()

    assert everything() == by_consumption_alone()


def test_the_take_over_waits_for_an_event_in_a_consumer_s_hands(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(bots=1)
    traffic.publish(2)
    deliver_from_store()
    in_hand = threading.Event()
    new: list[UUID] = []

    def handle_slowly() -> None:
        new.extend(Traffic(bots=1).publish(1))
        OutboxRow.objects.all().delete()
        with transaction.atomic():
            assert [_deliver(event_id) for event_id in new] == [True] * 4
            in_hand.set()
            eventually(lambda: _waits_for_a_lock("LOCK TABLE"))

    take = Rebuild.take

    def take_while_another_handles(self: Rebuild, envelopes: Any) -> None:
        monkeypatch.setattr(Rebuild, "take", take)
        take(self, envelopes)
        thread.start()
        assert in_hand.wait(30)

    thread = threading.Thread(target=handle_slowly)
    monkeypatch.setattr(Rebuild, "take", take_while_another_handles)
    assert "Replayed 12 events" in _rebuild()
    thread.join(30)

    assert [_deliver(event_id) for event_id in new] == [False] * 4
    assert everything() == by_consumption_alone()


def test_an_event_that_the_rebuild_took_first_is_not_counted_again_by_its_consumer() -> None:
    traffic = Traffic(bots=2)
    traffic.publish(4)
    deliver_from_store()
    waiting = traffic.publish(2)
    assert "Replayed 24 events" in _rebuild()

    assert [_deliver(event_id) for event_id in waiting] == [False] * 8
    assert everything() == by_consumption_alone()


def test_a_dead_letter_whose_event_was_rebuilt_no_longer_blocks_its_key() -> None:
    traffic = Traffic(bots=1)
    event_id, *_ = traffic.publish(2)
    envelope = envelope_of(StoredEvent.objects.get(event_id=event_id))
    facts: dict[str, Any] = {
        "consumer": READ_MODELS, "event_type": envelope.event_type, "key": envelope.aggregate_id, "topic": "t",
        "partition": 0, "offset": 0, "envelope": {}, "reason": "failed", "error": "",
        "created_at": envelope.occurred_at,
    }  # fmt: skip
    DeadLetter.objects.create(event_id=event_id, **facts)
    stranger = DeadLetter.objects.create(event_id=UUID(int=7), **facts)
    _rebuild()

    assert list(DeadLetter.objects.filter(redriven_at=None)) == [stranger]


def test_events_that_the_store_does_not_have_stay_handled() -> None:
    Traffic(bots=1).publish(2)
    deliver_from_store()
    stranger = InboxEntry.objects.create(
        consumer=READ_MODELS, event_id=UUID(int=7), processed_at=StoredEvent.objects.earliest("recorded_at").recorded_at
    )
    _rebuild()

    assert InboxEntry.objects.filter(event_id=stranger.event_id).exists()
    assert handled() == 9


def test_a_second_rebuild_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "_LOCK_WAIT_SECONDS", 0.0)
    Traffic(bots=1).publish(2)
    take = Rebuild.take
    refused: list[str] = []

    def take_beside_another(self: Rebuild, envelopes: Any) -> None:
        def another() -> None:
            with pytest.raises(CommandError) as raised:
                _rebuild()
            refused.append(str(raised.value))

        with _in_a_thread(another):
            pass
        take(self, envelopes)

    monkeypatch.setattr(Rebuild, "take", take_beside_another)
    _rebuild()

    assert refused == [
        "The projection bot-read-models is being rebuilt by another command. Wait until that one ends, or stop it."
    ]
    assert StoredEvent.objects.filter(event_type="audit.replay.started").count() == 1
    monkeypatch.setattr(Rebuild, "take", take)
    _rebuild()


def test_a_rebuild_that_lost_its_connection_never_writes_to_the_live_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    Traffic(bots=1).publish(2)
    take = Rebuild.take

    def lose_and_take(self: Rebuild, envelopes: Any) -> None:
        connection.close()
        take(self, envelopes)

    monkeypatch.setattr(Rebuild, "take", lose_and_take)
    with pytest.raises(CommandError, match="The connection to PostgreSQL was lost, and the tables of the rebuild"):
        _rebuild()
    assert not any(everything().values())
    assert handled() == 0


class TestKilled:
    """SIGKILL at the critical points leaves the model as it was, and the next rebuild succeeds."""

    @pytest.fixture
    def spoilt(self) -> dict[str, Any]:
        Traffic(bots=4).publish(150)
        deliver_from_store()
        _spoil()
        return everything()

    def _killed_when(self, condition: Callable[[], bool], *options: str) -> None:
        with manage("replay_events", "--into", "bot-read-models", *options) as process:
            eventually(condition)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _then_a_rebuild_is_whole(self, spoilt: dict[str, Any]) -> None:
        assert everything() == spoilt
        assert handled() == 600
        _rebuild()
        rebuilt = everything()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class WHERE relname IN ('bot_trade', 'inbox')")
            assert cursor.fetchone() == (2,)
        assert rebuilt == by_consumption_alone()

    def test_while_events_are_handed_over(self, spoilt: dict[str, Any]) -> None:
        self._killed_when(StoredEvent.objects.filter(event_type="audit.replay.started").exists, "--rate", "100")
        self._then_a_rebuild_is_whole(spoilt)

    def test_while_it_waits_for_the_consumers(self, spoilt: dict[str, Any]) -> None:
        with another_session() as session, session.cursor() as cursor:
            cursor.execute("LOCK TABLE kraken.bot_trade IN ROW EXCLUSIVE MODE")
            self._killed_when(lambda: _waits_for_a_lock("LOCK TABLE"))
        self._then_a_rebuild_is_whole(spoilt)

    def test_while_the_rows_are_taken_over(self, spoilt: dict[str, Any]) -> None:
        with another_session() as session, session.cursor() as cursor:
            cursor.execute("SELECT 1 FROM kraken.bot_status FOR UPDATE")
            self._killed_when(lambda: _waits_for_a_lock("DELETE FROM"))
        self._then_a_rebuild_is_whole(spoilt)
