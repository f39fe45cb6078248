"""What a stream tells, to whom, and how it goes on after a break."""

import socket
import threading
from datetime import timedelta
from random import Random
from urllib.request import urlopen
from uuid import UUID, uuid4

import pytest
import redis
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.services.machine_keys import machine_key_create, machine_key_revoke
from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Bot
from apps.bots.models.stream import StreamEntry, StreamHead, StreamNote
from apps.bots.stream import figures, hub, journal, reader
from apps.core.identity import machine_keys
from apps.core.identity.assurance import Assurance
from apps.core.identity.revocations import sessions_revoke
from apps.core.models import MachineKey
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.risk.models.halts import HaltScope
from tests.factories.accounts import make_user
from tests.factories.bots import Story, TraderClient
from tests.factories.risk import halted
from tests.integration.bots.conftest import World
from tests.integration.bots.stream.conftest import Open, alert, token_of
from tests.support.event_stream import Client
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("kraken_service.urls")]

load_consumers()


class TestWhatItTells:
    def test_each_event_shows_what_the_read_of_it_shows(
        self, open_stream: Open, trader: TraderClient, bot: Bot
    ) -> None:
        stream, other = open_stream(bot.user_id), open_stream()
        story, order_id = Story(bot_id=bot.id, user_id=bot.user_id), uuid4()
        receipt = trader.post(f"/api/v1/bot/{bot.id}/start").json()
        for envelope in (story.started(), story.order("open", order_id=order_id), story.traded("buy")):
            deliver(envelope, group=READ_MODELS)
        deliver(story.failed(is_final=False), group=ALERTS)

        stream.wait_for("alert")
        path = f"/api/v1/bot/{bot.id}"
        eventually(lambda: stream.of("status")[-1]["trades"] == 1, what="the status after the trade")
        assert stream.of("status")[-1] == trader.get(f"{path}/status").json()
        assert stream.of("order") == trader.get("/api/v1/trading/orders").json()["results"]
        assert stream.of("trade") == trader.get(f"{path}/trades").json()["results"]
        assert stream.of("alert") == trader.get("/api/v1/bot/alerts").json()["results"]
        assert stream.of("receipt")[-1] == trader.get(f"{path}/commands/{receipt['id']}").json()
        ids = [int(event.id) for event in stream.events if event.id]
        assert ids == sorted(set(ids))
        assert [event.name for event in other.events] == ["ready"]

    def test_a_halt_changes_the_status_of_every_bot_that_it_covers(
        self, open_stream: Open, world: World, trader: TraderClient, bot: Bot
    ) -> None:
        second, stream = world.add_bot(trader.user_id), open_stream(bot.user_id)
        halted(HaltScope.KEY, bot.credential_id, user_id=bot.user_id, code="mine")
        assert stream.wait_for("status")[0]["halts"][0]["scope"] == "key"
        halted(HaltScope.PLATFORM, code="maintenance")
        stream.wait_for("status", 3)
        assert {each["bot_id"] for each in stream.of("status")[1:]} == {str(bot.id), str(second.id)}

    def test_a_silent_stream_is_kept_alive(self, open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("apps.bots.stream.asgi.HEARTBEAT_SECONDS", 0.2)
        stream = open_stream()
        stream.wait_for("ping", 2)
        assert stream.comments == [": heartbeat"] * len(stream.of("ping"))

    def test_what_cannot_be_shown_lets_the_clients_load_anew(
        self, open_stream: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user_id = uuid4()
        stream = open_stream(user_id)
        with monkeypatch.context() as patch:
            patch.setattr(reader, "frames_of", lambda *_, **__: 1 / 0)
            alert(user_id)
            stream.wait_for("reset")
        after = alert(user_id)
        assert [each["id"] for each in stream.wait_for("alert")] == [str(after.id)]

    def test_without_redis_it_polls(self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        def refused(*_: object, **__: object) -> redis.Redis:
            raise redis.ConnectionError

        monkeypatch.setattr(redis.Redis, "from_url", refused)
        user_id = uuid4()
        stream = request.getfixturevalue("open_stream")(user_id)
        alert(user_id)
        stream.wait_for("alert")


class TestResuming:
    def test_goes_on_after_the_last_id_without_a_gap_or_a_duplicate(self, open_stream: Open) -> None:
        user_id = uuid4()
        first = open_stream(user_id)
        alerts = [alert(user_id) for _ in range(3)]
        first.wait_for("alert", 3)
        first.close()
        missed = [alert(user_id) for _ in range(3)]
        alert(uuid4())

        second = open_stream(user_id, last_id=first.last_id)
        assert [each["id"] for each in second.of("alert")] == [str(each.id) for each in missed]
        assert second.events[-1].name == "ready"
        # A client that broke off in the middle of them
        middle = next(event.id for event in first.events if event.data.get("id") == str(alerts[1].id))
        third = open_stream(user_id, last_id=middle)
        assert [each["id"] for each in third.of("alert")] == [str(each.id) for each in (alerts[2], *missed)]

    @pytest.mark.parametrize("last_id", ["0", "17", "999999999999999999", "not-an-id", "-1", "1" * 40])
    def test_from_an_id_that_is_too_old_or_none_it_tells_the_client_to_load_anew(
        self, open_stream: Open, last_id: str
    ) -> None:
        user_id = uuid4()
        stream = open_stream(user_id, last_id=last_id, says="reset")
        assert [event.name for event in stream.events] == ["reset"]
        alert(user_id)
        stream.wait_for("alert")

    def test_what_was_deleted_cannot_be_resumed(self, open_stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        user_id = uuid4()
        first = open_stream(user_id)
        alert(user_id)
        first.wait_for("alert")
        monkeypatch.setattr(journal, "KEPT", timedelta())
        alert(user_id)
        first.wait_for("alert", 2)
        assert journal.forget_old() == 2
        again = open_stream(user_id, last_id=first.last_id, says="reset")
        assert [event.name for event in again.events] == ["reset"]

    def test_more_than_a_client_can_take_in_is_a_reset(
        self, open_stream: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader, "MOST_MISSED", 3)
        user_id = uuid4()
        first = open_stream(user_id)
        for _ in range(4):
            alert(user_id)
        eventually(lambda: StreamEntry.objects.filter(user_id=user_id).count() == 4, what="the journal")
        assert open_stream(user_id, last_id=first.events[0].id, says="reset").of("alert") == []


class TestLateCommits:
    def test_what_commits_late_is_told_late_and_not_lost(self, open_stream: Open) -> None:
        user_id = uuid4()
        stream = open_stream(user_id)
        with transaction.atomic():
            late = alert(user_id)
            in_between = threading.Thread(target=_committed, args=(user_id,))
            in_between.start()
            in_between.join()
            [early] = stream.wait_for("alert")
        assert [each["id"] for each in stream.wait_for("alert", 2)] == [early["id"], str(late.id)]
        ids = [int(event.id) for event in stream.events if event.name == "alert" and event.id]
        assert ids == sorted(ids)

    def test_at_two_hundred_events_a_second_with_late_commits_and_breaks_each_is_told_once(
        self, open_stream: Open
    ) -> None:
        user_id, written, lock = uuid4(), [], threading.Lock()

        def write(seed: int) -> None:
            random = Random(seed)
            pause = threading.Event()
            try:
                for _ in range(60):
                    with transaction.atomic():
                        made = [alert(user_id).id for _ in range(random.choice((1, 1, 2)))]
                        pause.wait(random.choice((0, 0, 0.01, 0.15)))
                    with lock:
                        written.extend(made)
            finally:
                connection.close()

        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
        stream, told = open_stream(user_id), []
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            stream.wait_for("alert", len(stream.of("alert")) + 20, seconds=10) if writers[0].is_alive() else None
            stream.close()
            assert stream.has_ended.wait(5)
            told += [event for event in stream.events if event.name == "alert"]
            stream = open_stream(user_id, last_id=stream.last_id)
            for writer in writers:
                writer.join(timeout=0.02)
        eventually(lambda: len(told) + len(stream.of("alert")) >= len(written), what="the last events")
        told += [event for event in stream.events if event.name == "alert"]

        assert sorted(event.data["id"] for event in told) == sorted(str(each) for each in written)
        ids = [int(event.id) for event in told if event.id]
        assert ids == sorted(set(ids))

    def test_any_number_of_processes_move_notes(self, db: None) -> None:
        """Each note once, and positions in the order in which they become visible."""
        user_id = uuid4()
        seen: list[int] = []
        for _ in range(200):
            alert(user_id)

        def move() -> None:
            try:
                while journal.has_notes():
                    journal.move_notes(limit=7)
                    with lock:
                        seen.append(journal.entries_after(0)[-1].position)
            finally:
                connection.close()

        lock = threading.Lock()
        movers = [threading.Thread(target=move) for _ in range(4)]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join()
        assert StreamNote.objects.count() == 0
        assert StreamEntry.objects.count() == StreamEntry.objects.values("subject_id").distinct().count() == 200
        assert seen == sorted(seen)
        assert StreamHead.objects.get().position == seen[-1]


class TestItsEnd:
    def test_a_session_that_ended_ends_its_streams_and_no_other(self, open_stream: Open) -> None:
        user_id, session_id = uuid4(), uuid4()
        ended, other = open_stream(user_id, session_id=session_id), open_stream(user_id)
        sessions_revoke(session_ids=[session_id], now=timezone.now())
        assert ended.has_ended.wait(10)
        assert not other.has_ended.is_set()

    def test_a_stream_ends_with_its_token(self, open_stream: Open, settings: Settings) -> None:
        lifetime: timedelta = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]
        stream = open_stream(token=token_of(uuid4(), signed_ago=lifetime - timedelta(seconds=5)))
        assert stream.has_ended.wait(15)

    def test_a_machine_key_may_read_until_it_is_revoked(
        self, open_stream: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine_keys, "REREAD_AFTER", timedelta(0))
        user, now = make_user(), timezone.now()
        assurance = Assurance(has_verified_email=True, has_mfa=False, stepped_up_at=None)
        made = machine_key_create(
            user_id=user.id, name="Script", scopes=("read",), networks=(), expires_at=None, assurance=assurance, now=now
        )
        stream = open_stream(token=made.key)
        alert(user.id)
        stream.wait_for("alert")
        machine_key_revoke(key_id=MachineKey.objects.get().id, user_id=user.id, now=now)
        assert stream.has_ended.wait(10)
        assert open_stream(token=made.key).response.status == 401

    def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up(
        self, open_stream: Open, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub, "QUEUE_FRAMES", 8)
        user_id = uuid4()
        before = figures.ended.labels("slow")._value.get()
        slow, reads = _open_and_do_not_read(port, token_of(user_id)), open_stream(user_id)
        for _ in range(40):
            # More than the kernel's buffers take
            alert(user_id, text="x" * 500_000)
            if figures.ended.labels("slow")._value.get() > before:
                break
            reads.wait_for("alert", len(reads.of("alert")) + 1)
        eventually(lambda: figures.ended.labels("slow")._value.get() > before, what="the end of the slow one")
        assert not reads.has_ended.is_set()
        slow.close()


class TestRefusals:
    def test_it_says_that_it_is_an_event_stream_and_is_not_to_be_kept(self, open_stream: Open) -> None:
        headers = open_stream().response.headers
        assert (headers["Content-Type"], headers["Cache-Control"]) == ("text/event-stream", "no-store")

    def test_without_a_token_it_is_401_in_the_one_shape(self, port: int) -> None:
        client = Client(port, "")
        assert (client.response.status, client.response.headers["Content-Type"]) == (401, "application/json")
        assert client.error()["code"] == "not_authenticated"

    def test_an_unknown_parameter_is_refused(self, port: int, open_stream: Open) -> None:
        client = Client(port, token_of(uuid4()), path="/api/v1/bot/stream?bot=1")
        assert (client.response.status, client.error()["code"]) == (400, "unknown_field")

    def test_a_user_has_so_many_streams_at_once(self, open_stream: Open, application: object) -> None:
        application.hub._per_user = 2  # type: ignore[attr-defined]
        user_id = uuid4()
        first, _ = open_stream(user_id), open_stream(user_id)
        refused = open_stream(user_id)
        assert (refused.response.status, refused.response.headers["Retry-After"]) == (429, "10")
        assert refused.error()["code"] == "too_many_streams"
        first.close()
        eventually(lambda: open_stream(user_id).response.status == 200, what="room for another")

    def test_other_processes_have_no_streams(self, trader: TraderClient) -> None:
        answer = trader.get("/api/v1/bot/stream")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dependency_unavailable")

    def test_health_and_figures_are_answered_beside_the_streams(self, port: int) -> None:
        with (
            urlopen(f"http://127.0.0.1:{port}/health/live") as live,
            urlopen(f"http://127.0.0.1:{port}/metrics") as shown,
        ):
            assert live.status == 200
            assert b"stream_open 0.0" in shown.read()


def _committed(user_id: UUID) -> None:
    try:
        alert(user_id)
    finally:
        connection.close()


def _open_and_do_not_read(port: int, token: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(
        f"GET /api/v1/bot/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    return client
