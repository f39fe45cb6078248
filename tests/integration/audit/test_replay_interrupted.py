"""A replay is recorded before its first event; an interrupted one says where it stopped and what remains."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from apps.audit.models import ArchivedPartition
from apps.audit.replay import shadow, sources
from apps.audit.replay.targets import Lines
from apps.audit.write_archive import Partition, write_archive
from apps.bots.models import Alert
from apps.bots.services import alerts
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.bots import BotError
from apps.messages.envelope import Envelope
from tests.integration.audit.conftest import checkpoint_all
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told() -> list[Envelope]:
    """Three failed bots; the owner of each was notified."""
    load_consumers()
    for number in range(3):
        with transaction.atomic():
            publish(
                BotError(
                    bot_id=uuid4(), user_id=uuid4(), code="x", message=f"It broke {number}.", is_final=False,
                    failed_at=timezone.now(),
                ),
                now=timezone.now(),
            )  # fmt: skip
    envelopes = [envelope_of(row) for row in StoredEvent.objects.order_by("recorded_at")]
    for envelope in envelopes:
        assert deliver(envelope, group="kraken.alerts")
    return envelopes


def _rebuild(**options: Any) -> None:
    call_command("replay_events", into="alerts", stdout=io.StringIO(), stderr=io.StringIO(), **options)


def _audited() -> list[tuple[str, dict[str, Any]]]:
    """The committed audit events."""
    session = connections.create_connection("default")
    try:
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT event_type, convert_from(payload, 'UTF8') FROM events.event WHERE event_type LIKE 'audit.%' "
                "ORDER BY recorded_at"
            )
            return [(event_type, json.loads(payload)) for event_type, payload in cursor.fetchall()]
    finally:
        session.close()


def _names() -> list[str]:
    return [name for name, _ in _audited()]


def _fail_at(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = alerts.bot_failed

    def fail(message: BotError, *, event_id: UUID) -> None:
        if message.message == f"It broke {number - 1}.":
            raise error
        handle(message, event_id=event_id)

    monkeypatch.setattr(alerts, "bot_failed", fail)


def _then_gone(envelopes: list[Envelope]) -> Iterator[Envelope]:
    yield from envelopes
    raise OperationalError("the server is gone")


class TestBeforeAnythingIsCleared:
    @pytest.fixture
    def archived(
        self, told: list[Envelope], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
    ) -> ArchivedPartition:
        checkpoint_all(key)
        OutboxRow.objects.all().delete()
        return write_archive(this_month, folder=tmp_path, now=timezone.now())

    def test_a_missing_archive_leaves_the_projection_as_it_is(self, archived: ArchivedPartition) -> None:
        with pytest.raises(CommandError, match="Name its folder with --archive"):
            _rebuild()
        assert (Alert.objects.count(), _names()) == (3, [])

    def test_a_changed_archive_leaves_the_projection_as_it_is(
        self, archived: ArchivedPartition, tmp_path: Path
    ) -> None:
        file = tmp_path / archived.file_name
        file.write_bytes(file.read_bytes() + b"\0")

        with pytest.raises(CommandError, match="is not the file that was archived"):
            _rebuild(archive=tmp_path)
        assert (Alert.objects.count(), _names()) == (3, [])

    def test_it_is_rebuilt_from_the_archive(self, archived: ArchivedPartition, tmp_path: Path) -> None:
        Alert.objects.all().delete()
        _rebuild(archive=tmp_path)

        assert (Alert.objects.count(), StoredEvent.objects.exclude(event_type__startswith="audit.").count()) == (3, 0)

    def test_a_source_that_does_not_answer_leaves_the_projection_as_it_is(
        self, told: list[Envelope], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "from_store", lambda *_, **__: _then_gone([]))
        with pytest.raises(OperationalError):
            _rebuild()
        assert (Alert.objects.count(), _names()) == (3, [])


def test_the_replay_is_on_record_before_the_first_event_is_given_away(
    users: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[str, dict[str, Any]]]] = []
    monkeypatch.setattr(Lines, "take", lambda _self, _envelope: seen.append(_audited()))
    call_command("replay_events", user=str(users[0]), source="store", operator="ada", stdout=io.StringIO())

    assert len(seen) == 4
    [(name, record)] = seen[0]
    assert name == "audit.replay.started"
    assert (record["operator"], record["source"], record["target"]) == ("ada", "store", "screen")
    assert record["filters"] == {"user_id": str(users[0])}
    [(_, started), (ended_name, ended)] = _audited()
    assert (ended_name, ended["replay_id"], ended["events"]) == ("audit.replayed", started["replay_id"], 4)


def test_a_replay_of_everything_does_not_replay_its_own_record(users: list[UUID]) -> None:
    out = io.StringIO()
    call_command("replay_events", source="store", stdout=out, stderr=io.StringIO())

    assert len(out.getvalue().splitlines()) == 12


def test_a_handler_that_raises_ends_the_rebuild_with_the_event_s_name_and_what_to_do(
    told: list[Envelope], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _fail_at(2, ValueError("no such kind"), patched)
        with pytest.raises(CommandError) as raised:
            _rebuild()
    assert str(raised.value) == (
        f"bot.error {told[1].event_id} (bot:{told[1].aggregate_id} #1) could not be replayed: ValueError: "
        "no such kind. 1 events were replayed before. The projection alerts is as it was before: run the command again "
        "once the cause is removed."
    )
    assert Alert.objects.count() == 3
    [(started, _), (interrupted, record)] = _audited()
    assert (started, interrupted) == ("audit.replay.started", "audit.replay.interrupted")
    assert (record["events"], record["reason"], record["event_id"]) == (1, "ValueError", str(told[1].event_id))

    _rebuild()
    assert Alert.objects.count() == 3
    assert _names()[2:] == ["audit.replay.started", "audit.replayed"]


def test_ctrl_c_in_the_middle_of_a_rebuild_says_that_the_projection_is_as_before(
    told: list[Envelope], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_at(3, KeyboardInterrupt(), monkeypatch)
    sentence = r"^The replay was stopped by Ctrl-C\. 0 events were replayed before\. The projection alerts is as it was"
    with pytest.raises(CommandError, match=sentence):
        _rebuild()

    assert Alert.objects.count() == 3
    assert _names() == ["audit.replay.started", "audit.replay.interrupted"]
    assert _audited()[1][1]["reason"] == "KeyboardInterrupt"


def test_a_source_that_fails_in_the_middle_ends_the_replay_with_what_went(
    users: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = [envelope_of(row) for row in StoredEvent.objects.all()[:3]]
    monkeypatch.setattr(sources, "from_store", lambda *_, **__: _then_gone(three))
    sentence = r"^The replay could not go on: OperationalError: the server is gone\. 3 events .* incomplete\.$"
    with pytest.raises(CommandError, match=sentence):
        call_command("replay_events", source="store", jsonl=tmp_path / "out", stderr=io.StringIO())

    assert len((tmp_path / "out").read_text().splitlines()) == 3
    assert _audited()[1][0] == "audit.replay.interrupted"
    assert (_audited()[1][1]["events"], _audited()[1][1]["event_id"]) == (3, None)


def test_a_source_that_cannot_be_read_leaves_the_file_of_an_earlier_replay_alone(
    users: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("replay_events", source="store", jsonl=tmp_path / "out", stderr=io.StringIO())
    before = (tmp_path / "out").read_text()
    monkeypatch.setattr(sources, "from_store", lambda *_, **__: _then_gone([]))

    with pytest.raises(OperationalError):
        call_command("replay_events", source="store", jsonl=tmp_path / "out", stderr=io.StringIO())

    assert before
    assert (tmp_path / "out").read_text() == before


def test_a_transaction_that_holds_the_read_model_ends_the_rebuild_with_the_model_as_it_was(
    told: list[Envelope], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "_LOCK_ATTEMPTS", 1)
    Alert.objects.filter(id=told[0].event_id).delete()
    session = connections.create_connection("default")
    try:
        with session.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE alert IN ROW EXCLUSIVE MODE")
        with pytest.raises(CommandError, match="Some transaction holds the tables of the read model"):
            _rebuild()
    finally:
        session.close()
    assert Alert.objects.count() == 2
    assert _names() == ["audit.replay.started", "audit.replay.interrupted"]


def test_the_staff_site_s_login_may_replay(told: list[Envelope]) -> None:
    with as_role("staff_site"):
        _rebuild()
    assert Alert.objects.count() == 3
    assert _names() == ["audit.replay.started", "audit.replayed"]
