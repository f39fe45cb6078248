"""Background processes write heartbeats at a low rate, and readiness shows them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from apps.events.process.heartbeats import beat, retire

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_written_yet() -> None:
    heartbeats._written.clear()


def test_a_beat_is_written_and_the_next_equal_one_is_saved() -> None:
    beat("relay", "up", "first")
    beat("relay", "up", "second")
    assert ProcessHeartbeat.objects.get().detail == "first"


def test_a_change_of_state_is_written_at_once() -> None:
    beat("relay", "up")
    beat("relay", "down", "Kafka does not answer.")
    row = ProcessHeartbeat.objects.get()
    assert (row.state, row.detail) == ("down", "Kafka does not answer.")


def test_an_equal_beat_is_written_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    beat("relay", "up")
    ProcessHeartbeat.objects.update(beat_at=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    beat("relay", "up")
    assert timezone.now() - ProcessHeartbeat.objects.get().beat_at < timedelta(minutes=1)


def test_a_process_that_ends_for_good_takes_its_own_row_away_and_no_other() -> None:
    beat("relay", "up")
    ProcessHeartbeat.objects.create(name="somebody", host="elsewhere", pid=1, state="up", beat_at=timezone.now())
    retire("relay")
    retire("somebody")
    assert list(ProcessHeartbeat.objects.values_list("name", flat=True)) == ["somebody"]
