"""A replay hands over the same events: filtered, in order, rate-limited, and recorded in the audit log."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from apps.events.consumers.delivery import deliver
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.bots import BotError
from apps.messages.user import UserLoggedIn

pytestmark = pytest.mark.django_db(transaction=True)


def _replay(**options: Any) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("replay_events", source="store", jsonl=Path("-"), stdout=out, stderr=io.StringIO(), **options)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_aggregate_is_replayed_whole_and_in_order(users: list[UUID]) -> None:
    events = _replay(aggregate=f"user:{users[1]}")

    assert [int(event["sequence"]) for event in events] == [1, 2, 3, 4]
    assert {event["source"] for event in events} == {f"/user/{users[1]}"}


def test_replayed_events_say_which_replay_they_belong_to(users: list[UUID]) -> None:
    first, second = _replay(user=str(users[0])), _replay(user=str(users[0]))

    assert len({event["replayid"] for event in first}) == 1
    assert first[0]["replayid"] != second[0]["replayid"]
    assert [event["id"] for event in first] == [event["id"] for event in second]


def test_a_replay_is_itself_an_event(users: list[UUID]) -> None:
    _replay(user=str(users[0]))

    record = json.loads(bytes(StoredEvent.objects.get(event_type="audit.replayed").payload))
    assert (record["events"], record["source"], record["target"]) == (4, "store", "jsonl")
    assert record["filters"] == {"user_id": str(users[0])}


def test_a_dry_run_counts_and_leaves_no_trace(users: list[UUID]) -> None:
    out = io.StringIO()
    call_command("replay_events", source="store", dry_run=True, stdout=out)

    assert out.getvalue() == "12 events would be replayed from store. Nothing was done.\n"
    assert not StoredEvent.objects.filter(event_type__startswith="audit.").exists()


def test_filters_by_type_and_time_narrow_the_replay(users: list[UUID]) -> None:
    with transaction.atomic():
        publish(
            UserLoggedIn(user_id=users[0], session_id=users[1], method="password"),
            now=timezone.now() - timedelta(days=2),
        )
    two_days_ago = (timezone.now() - timedelta(days=3)).isoformat()
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()

    assert len(_replay(type=["user.logged_in"])) == 1
    assert len(_replay(since=two_days_ago, until=yesterday)) == 1
    assert len(_replay(since=yesterday, type=["user.logged_in"])) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"type": ["user.creatd"]}, "No event is called 'user.creatd'"),
        ({"topic": "user.evnts"}, "There is no topic 'user.evnts'"),
        ({"aggregate": "bot"}, "--aggregate is TYPE:ID"),
        ({"user": "me"}, "--user: 'me' is not an id"),
        ({"since": "yesterday"}, "--since: 'yesterday' is not a time"),
        ({"into": "nothing"}, "There is no projection 'nothing'"),
        ({"into": "bot-read-models", "topic": "user.events"}, "leave the filters out"),
    ],
)
def test_a_wrong_word_is_explained(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        _replay(**options)


def test_a_paced_replay_keeps_its_rate(users: list[UUID]) -> None:
    began = timezone.now()
    _replay(user=str(users[0]), rate=20.0)

    assert timezone.now() - began >= timedelta(seconds=4 / 20)


def test_a_projection_is_rebuilt_from_nothing() -> None:
    from apps.bots.models import Alert

    bot_id, user_id = UUID(int=1), UUID(int=2)
    with transaction.atomic():
        publish(
            BotError(
                bot_id=bot_id, user_id=user_id, code="x", message="It broke.", is_final=False, failed_at=timezone.now()
            ),
            now=timezone.now(),
        )
    deliver(envelope_of(StoredEvent.objects.get()), group="kraken.alerts")
    before = list(Alert.objects.values_list("user_id", "message"))
    assert before == [(user_id, "It broke.")]

    call_command("replay_events", into="alerts", stdout=io.StringIO(), stderr=io.StringIO())
    assert list(Alert.objects.values_list("user_id", "message")) == before
