"""The event browser finds events by index, shows one with its evidence, a chain as a graph, and replays and exports."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.bots.models import BotStatus
from apps.core.context import message_context
from apps.core.terms import Mode, Side
from apps.events.models import CommandExecution, InboxEntry, StoredEvent
from apps.events.store.publish import dispatch, publish
from apps.messages.bots import BotConfig, BotStarted, StartBot
from apps.messages.trading import BotTradeSkipped
from apps.messages.user import UserUpdated
from apps.ops.event_browser import export, query, replay
from apps.ops.event_browser.chain import as_svg, chain_of
from apps.ops.event_browser.proof import event_proof
from apps.ops.event_browser.query import EventQuery, event_page
from tests.factories.accounts import FAST_HASHERS
from tests.support.staff_site import client_of, serve_staff_site

pytestmark = pytest.mark.django_db

SEARCH = "/admin/event-browser/"
TRACE = uuid4().hex
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Story:
    """A start: the command, what it caused, and what that caused."""

    correlation_id: UUID
    bot_id: UUID
    user_id: UUID
    command_id: UUID
    started_id: UUID
    skipped_id: UUID


def _publish(message: Any, correlation_id: UUID, cause: UUID | None) -> UUID:
    trace = f"00-{TRACE}-00f067aa0ba902b7-01"
    send = dispatch if isinstance(message, StartBot) else publish
    with message_context(correlation_id=correlation_id, causation_id=cause, traceparent=trace), transaction.atomic():
        event_id: UUID = send(message, now=NOW)
    return event_id


@pytest.fixture
def story() -> Story:
    bot, user, run, chain, now = uuid4(), uuid4(), uuid4(), uuid4(), timezone.now()
    config = BotConfig(
        name="B", mode=Mode.PAPER, credential_id=uuid4(), pair="XBTUSD", strategy="dca", parameters={},
        interval_minutes=60, quote_budget=Decimal(100), version=1,
    )  # fmt: skip
    asked = StartBot(
        command_id=uuid4(),
        bot_id=bot,
        user_id=user,
        config=config,
        requested_at=now,
        expires_at=now + timedelta(hours=1),
    )
    command = _publish(asked, chain, None)
    started = BotStarted(bot_id=bot, user_id=user, run_id=run, config_version=1, started_at=now)
    began = _publish(started, chain, command)
    skipped = BotTradeSkipped(
        bot_id=bot, run_id=run, user_id=user, pair="XBTUSD", side=Side.BUY, code="too_small",
        message="<b>Too small</b>", skipped_at=now,
    )  # fmt: skip
    return Story(chain, bot, user, command, began, _publish(skipped, chain, began))


def _ids(given: EventQuery, **options: Any) -> list[UUID]:
    return [line.event_id for line in event_page(given, **options).lines]


# Search


def test_each_filter_finds_its_events_newest_first(story: Story) -> None:
    other = _publish(UserUpdated(user_id=uuid4(), changed=("name",)), uuid4(), None)
    everything = [story.skipped_id, story.started_id, story.command_id]

    assert _ids(EventQuery()) == [other, *everything]
    for narrow in (
        EventQuery(aggregate_id=story.bot_id),
        EventQuery(user_id=story.user_id),
        EventQuery(correlation_id=story.correlation_id),
    ):
        assert _ids(narrow) == everything
    assert _ids(EventQuery(event_type="bot.started")) == [story.started_id]
    assert _ids(EventQuery(event_type="bot.started", user_id=story.user_id)) == [story.started_id]
    assert _ids(EventQuery(event_type="user.updated", user_id=story.user_id)) == []
    assert _ids(EventQuery(trace_id=TRACE, user_id=story.user_id)) == everything
    assert _ids(EventQuery(trace_id="0" * 32, user_id=story.user_id)) == []
    later = StoredEvent.objects.get(pk=story.skipped_id).recorded_at
    assert _ids(EventQuery(until=later)) == everything[1:]
    assert _ids(EventQuery(since=later)) == [other, story.skipped_id]


@pytest.mark.parametrize("narrow", [True, False])
def test_pages_neither_repeat_nor_leave_out(story: Story, narrow: bool) -> None:
    given = EventQuery(user_id=story.user_id) if narrow else EventQuery()
    seen, place = [], None
    for _ in range(4):
        page = event_page(given, after=place, limit=1)
        seen += [line.event_id for line in page.lines]
        place = page.next_place
        if place is None:
            break

    assert seen == [story.skipped_id, story.started_id, story.command_id]


@pytest.mark.parametrize(
    "given",
    [
        EventQuery(),
        EventQuery(event_type="user.updated"),
        EventQuery(aggregate_id=uuid4()),
        EventQuery(user_id=uuid4()),
        EventQuery(correlation_id=uuid4()),
    ],
)
def test_no_search_reads_a_whole_month(given: EventQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[Any]]] = []

    def note(statement: str, parameters: list[Any]) -> list[Any]:
        asked.append((statement, parameters))
        return []

    monkeypatch.setattr(query, "_rows", note)
    event_page(given)
    ((statement, parameters),) = asked
    with connection.cursor() as cursor:
        # Small tables are read whole whatever the indexes: the planner is told that this costs much.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Seq Scan" not in plan, plan


# One event


def test_evidence_holds_for_what_was_written_and_fails_for_another_hash_before_it(story: Story) -> None:
    event = StoredEvent.objects.get(pk=story.started_id)

    proof = event_proof(event)
    assert (proof.holds, proof.last_seq, proof.leaf) == (True, 3, None)
    assert proof.previous_hash == bytes(StoredEvent.objects.get(pk=story.command_id).hash).hex()

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE events.event SET hash = sha256('x') WHERE event_id = %s", [story.command_id])
    assert not event_proof(event).holds


# A chain


def test_a_chain_is_a_tree_of_causes_with_the_outcome_of_its_command(story: Story) -> None:
    CommandExecution.objects.create(
        command_id=story.command_id, name="bot.start", aggregate_id=story.bot_id, state="done", first_delivered_at=NOW
    )
    beside = _publish(UserUpdated(user_id=story.user_id, changed=("name",)), story.correlation_id, None)

    chain = chain_of(story.correlation_id)

    assert [(node.line.event_id, node.depth, node.outcome) for node in chain.nodes] == [
        (story.command_id, 0, "done"), (story.started_id, 1, ""), (story.skipped_id, 2, ""), (beside, 0, ""),
    ]  # fmt: skip
    svg = as_svg(chain, here=story.started_id)
    assert svg.count("<a href=") == svg.count("<path") == 4
    assert f'/admin/event-browser/event/{story.started_id}/" class="ops-here"' in svg


def test_a_circle_of_causes_and_a_cause_that_is_not_there_are_shown() -> None:
    chain_id = uuid4()
    first = _publish(UserUpdated(user_id=uuid4(), changed=("a",)), chain_id, uuid4())
    second = _publish(UserUpdated(user_id=uuid4(), changed=("b",)), chain_id, first)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE events.event SET causation_id = %s WHERE event_id = %s", [second, first])

    chain = chain_of(chain_id)

    assert {node.line.event_id for node in chain.nodes} == {first, second}
    assert as_svg(chain).count("<a href=") == 2


def test_a_long_chain_is_cut(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.ops.event_browser.chain.MOST_NODES", 2)

    chain = chain_of(story.correlation_id)

    assert (len(chain.nodes), chain.is_cut) == (2, True)


# Replay


def test_a_replay_shows_the_state_after_each_event_and_touches_nothing(story: Story) -> None:
    events = list(StoredEvent.objects.filter(correlation_id=story.correlation_id).order_by("recorded_at"))

    steps, why_not = replay.steps_with_states(events)

    assert why_not == ""
    states = [json.loads(step.state)["state"] if step.state else None for step in steps]
    assert states == [None, "running", "running"]
    assert json.loads(steps[2].state)["skip_code"] == "too_small"
    assert not BotStatus.objects.exists()
    assert not InboxEntry.objects.exists()


# Pages


@pytest.fixture
def _staff_site(settings: Any) -> None:
    serve_staff_site(settings)
    settings.PASSWORD_HASHERS = FAST_HASHERS


@pytest.mark.usefixtures("_staff_site")
def test_an_auditor_reads_every_page_and_a_trader_none(story: Story) -> None:
    pages = (
        SEARCH,
        f"{SEARCH}?about={story.bot_id}",
        f"{SEARCH}event/{story.skipped_id}/",
        f"{SEARCH}chain/{story.correlation_id}/?event={story.started_id}",
        f"{SEARCH}replay/?correlation={story.correlation_id}",
        f"{SEARCH}replay/?about={story.bot_id}&states=1",
    )
    auditor, trader = client_of("auditor"), client_of("trader")
    for page in pages:
        answer = auditor.get(page)
        assert answer.status_code == 200, page
        assert "<b>Too small" not in answer.content.decode()
        assert trader.get(page).status_code == 302
    shown = auditor.get(pages[2]).content.decode()
    assert "Its hash follows from the one before it." in shown
    assert "&lt;b&gt;Too small&lt;/b&gt;" in shown


@pytest.mark.usefixtures("_staff_site")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("type=no.such", "Select a valid choice"),
        ("about=x", "Enter a valid UUID"),
        ("user=nobody@example.com", "There is no such account."),
        ("trace=xyz", "32 hexadecimal digits"),
        (f"trace={TRACE}", "A trace id alone needs a time"),
        ("since=yesterday", "Enter a valid date/time"),
    ],
)
def test_a_search_that_cannot_be_made_says_why(story: Story, given: str, told: str) -> None:
    answer = client_of("auditor").get(f"{SEARCH}?{given}")

    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert str(story.bot_id) not in answer.content.decode()


@pytest.mark.usefixtures("_staff_site")
@pytest.mark.parametrize(
    "path", [f"event/{UUID(int=7)}/", f"chain/{UUID(int=7)}/", "replay/", f"replay/?about={UUID(int=7)}"]
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert client_of("auditor").get(f"{SEARCH}{path}").status_code == 404


@pytest.mark.usefixtures("_staff_site")
def test_an_export_is_a_download_that_an_event_tells_of(story: Story) -> None:
    auditor, page = client_of("auditor"), f"{SEARCH}export/"
    chain = {"correlation": str(story.correlation_id)}

    assert "This field is required" in auditor.post(page, chain).content.decode()
    assert "Export a chain, or" in auditor.post(page, {"reason": "r"}).content.decode()
    assert auditor.get(page, chain).status_code == 200
    assert not StoredEvent.objects.filter(event_type="audit.exported").exists()

    answer = auditor.post(page, chain | {"reason": "Asked by the owner"})
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert [line["id"] for line in lines] == [str(story.command_id), str(story.started_id), str(story.skipped_id)]
    assert re.fullmatch(r'attachment; filename="events-[0-9a-f-]{36}\.jsonl"', answer["Content-Disposition"])
    told = json.loads(bytes(StoredEvent.objects.get(event_type="audit.exported").payload))
    assert (told["because"], told["events"], told["filters"]) == (
        "Asked by the owner", 3, {"correlation_id": str(story.correlation_id)},
    )  # fmt: skip
    acted = json.loads(bytes(StoredEvent.objects.get(event_type="staff.acted").payload))
    assert (acted["action"], acted["reason"]) == ("export", "Asked by the owner")


@pytest.mark.usefixtures("_staff_site")
def test_an_export_is_bounded_and_then_records_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_EVENTS", 2)

    answer = client_of("auditor").post(f"{SEARCH}export/", {"about": str(story.bot_id), "reason": "r"})

    assert "use `manage.py audit_export`" in answer.content.decode()
    assert not StoredEvent.objects.filter(event_type="audit.exported").exists()
