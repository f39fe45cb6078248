"""Consumers forget what can never be delivered again, and nothing that can."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.events.consumers import housekeeping
from apps.events.consumers.housekeeping import KEPT_FOR, delete_expired
from apps.events.models import DeadLetter, InboxEntry

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def _handled(age: timedelta) -> None:
    InboxEntry.objects.create(consumer="g", event_id=uuid4(), processed_at=NOW - age)


def _dead_letter(age: timedelta, *, redriven: bool) -> None:
    DeadLetter.objects.create(
        consumer="g", event_id=uuid4(), event_type="user.updated", key=uuid4(), topic="user.events", partition=0,
        offset=1, envelope={}, reason="failed", error="", created_at=NOW - age,
        redriven_at=NOW - age if redriven else None,
    )  # fmt: skip


def test_old_entries_go_and_young_ones_stay() -> None:
    _handled(KEPT_FOR + timedelta(seconds=1))
    _handled(KEPT_FOR - timedelta(seconds=1))

    assert delete_expired(now=NOW) == 1
    assert InboxEntry.objects.get().processed_at == NOW - KEPT_FOR + timedelta(seconds=1)


def test_an_entry_is_kept_for_longer_than_kafka_keeps_its_event() -> None:
    assert timedelta(days=90) < KEPT_FOR


def test_dead_letters_that_wait_are_never_forgotten() -> None:
    _dead_letter(KEPT_FOR * 2, redriven=False)
    _dead_letter(KEPT_FOR * 2, redriven=True)

    assert delete_expired(now=NOW) == 1
    assert DeadLetter.objects.get().redriven_at is None


def test_a_long_past_goes_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH_ROWS", 2)
    for _ in range(5):
        _handled(KEPT_FOR * 2)
    assert [delete_expired(now=NOW) for _ in range(4)] == [2, 2, 1, 0]
