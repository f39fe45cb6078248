"""Parked keys and dead letters on the staff site: released and handled again for a reason, by who may."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.bots.consumers import READ_MODELS
from apps.bots.models import BotStatus
from apps.events.models import DeadLetter, OutboxRow, ParkedKey, StoredEvent
from apps.events.store.publish import publish
from apps.messages.cloud_events import to_json
from apps.messages.user import UserUpdated
from tests.factories.accounts import make_user
from tests.factories.bots import Story

pytestmark = [pytest.mark.django_db, pytest.mark.urls("staff_site.urls")]

PARKED, DEAD = "/admin/events/parkedkey/", "/admin/events/deadletter/"


def _staff(role: str) -> Client:
    client = Client()
    client.force_login(make_user(roles=[role], name="Grace"))
    return client


def _parked() -> ParkedKey:
    user = make_user()
    now = timezone.now()
    event_id = publish(UserUpdated(user_id=user.id, changed=("name",)), now=now)
    OutboxRow.objects.filter(event_id=event_id).update(next_attempt_at=now + timedelta(days=1))
    return ParkedKey.objects.create(
        transport="kafka", key=user.id, event_id=event_id, event_type="user.updated", reason="too large", parked_at=now
    )


def _dead(group: str) -> tuple[DeadLetter, Story]:
    story = Story()
    story.started()
    (envelope,) = story.envelopes
    letter = DeadLetter.objects.create(
        consumer=group, event_id=envelope.event_id, event_type=envelope.event_type, key=story.bot_id, topic="t",
        partition=0, offset=0, envelope=to_json(envelope), reason=DeadLetter.Reason.FAILED, error="x",
        created_at=timezone.now(),
    )  # fmt: skip
    return letter, story


def _actions() -> list[tuple[str, str, str]]:
    """Page, action and reason of what staff did."""
    payloads = [json.loads(bytes(row.payload)) for row in StoredEvent.objects.filter(event_type="staff.acted")]
    return [(each["page"], each["action"], each["reason"]) for each in payloads]


def test_an_operator_releases_a_parked_key_for_a_reason() -> None:
    parked = _parked()
    form = {"action": "release", "_selected_action": [str(parked.pk)]}

    _staff("operator").post(PARKED, form)
    assert ParkedKey.objects.exists()

    _staff("operator").post(PARKED, {**form, "reason": "the limit was raised"})
    assert not ParkedKey.objects.exists()
    assert OutboxRow.objects.get(event_id=parked.event_id).next_attempt_at <= timezone.now()
    released = json.loads(bytes(StoredEvent.objects.get(event_type="audit.parked_key.released").payload))
    assert (released["operator"], released["released_key"], released["messages"]) == ("Grace", str(parked.key), 1)
    assert _actions() == [("events.parkedkey", "release", "the limit was raised")]


def test_an_operator_has_a_dead_letter_handled_again() -> None:
    letter, story = _dead(READ_MODELS)

    page = _staff("operator").post(
        DEAD, {"action": "redrive", "_selected_action": [str(letter.pk)], "reason": "the fault is mended"}, follow=True
    )

    assert "1 handled, 0 failed again, 0 left" in page.content.decode()
    letter.refresh_from_db()
    assert letter.redriven_at is not None
    assert BotStatus.objects.get(bot_id=story.bot_id).state == "running"
    assert _actions() == [("events.deadletter", "redrive", "the fault is mended")]


def test_a_dead_letter_whose_group_is_not_known_here_stays_and_says_so() -> None:
    letter, _ = _dead(f"nobody-{uuid4().hex}")

    page = _staff("operator").post(
        DEAD, {"action": "redrive", "_selected_action": [str(letter.pk)], "reason": "try"}, follow=True
    )

    assert "0 handled, 1 failed again" in page.content.decode()
    letter.refresh_from_db()
    assert letter.redriven_at is None
    assert "has no handler" in letter.error


@pytest.mark.parametrize("role", ["auditor", "support"])
def test_who_may_not_changes_nothing(role: str) -> None:
    parked, (letter, _) = _parked(), _dead(READ_MODELS)
    client = _staff(role)

    client.post(PARKED, {"action": "release", "_selected_action": [str(parked.pk)], "reason": "x"})
    client.post(DEAD, {"action": "redrive", "_selected_action": [str(letter.pk)], "reason": "x"})

    assert ParkedKey.objects.exists()
    letter.refresh_from_db()
    assert letter.redriven_at is None
    assert _actions() == []
