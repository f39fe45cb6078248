"""A process is down if work waits and none of it was done for the limit, and up in every other case."""

import pytest
from prometheus_client import REGISTRY

from apps.events.process.progress import LIMIT_SECONDS, Health, Progress

UP = Health("up")


@pytest.fixture
def progress() -> Progress:
    return Progress("test", what="row", done="sent", limit_seconds=30.0)


def gauge() -> float | None:
    return REGISTRY.get_sample_value("process_stalled", {"name": "test"})


def test_nothing_to_do_is_up_however_long_it_lasts(progress: Progress) -> None:
    assert [progress.observe(backlog=0, marker=7, now=now) for now in (0.0, 31.0, 3600.0)] == [UP, UP, UP]


def test_work_that_waits_as_long_as_the_limit_without_progress_is_down(progress: Progress) -> None:
    assert progress.observe(backlog=3, marker=7, now=100.0) == UP
    assert progress.observe(backlog=4, marker=7, now=129.9) == UP
    assert progress.observe(backlog=5, marker=7, now=130.0) == Health("down", "No row was sent for 30 s; waiting: 5.")


def test_the_reason_ends_the_detail(progress: Progress) -> None:
    progress.observe(backlog=1, marker=0, now=0.0)
    health = progress.observe(backlog=1, marker=0, now=45.0, reason="Kafka does not answer.")
    assert health.detail == "No row was sent for 45 s; waiting: 1. Kafka does not answer."
    assert health.is_stalled


def test_slow_work_is_progress_although_the_backlog_grows(progress: Progress) -> None:
    looks = [progress.observe(backlog=10 + look, marker=look, now=look * 29.0) for look in range(20)]
    assert looks == [UP] * 20


def test_any_change_of_the_marker_is_progress(progress: Progress) -> None:
    """Rows of a released key have lower ids than those that went before them."""
    progress.observe(backlog=2, marker=1000, now=0.0)
    assert progress.observe(backlog=2, marker=5, now=29.0) == UP
    assert progress.observe(backlog=2, marker=5, now=58.9) == UP
    assert progress.observe(backlog=2, marker=5, now=59.0).state == "down"


def test_new_work_has_the_whole_limit_after_an_idle_time(progress: Progress) -> None:
    progress.observe(backlog=0, marker=7, now=0.0)
    progress.observe(backlog=0, marker=7, now=1000.0)
    assert progress.observe(backlog=1, marker=7, now=1029.0) == UP
    assert progress.observe(backlog=1, marker=7, now=1030.0).state == "down"


def test_the_first_progress_is_up_again(progress: Progress) -> None:
    progress.observe(backlog=9, marker=7, now=0.0)
    assert progress.observe(backlog=9, marker=7, now=30.0).state == "down"
    assert progress.observe(backlog=8, marker=8, now=31.0) == UP


def test_a_backlog_that_others_took_away_is_up(progress: Progress) -> None:
    progress.observe(backlog=9, marker=7, now=0.0)
    assert progress.observe(backlog=9, marker=7, now=30.0).state == "down"
    assert progress.observe(backlog=0, marker=7, now=31.0) == UP


def test_a_restart_gives_the_whole_limit_again(progress: Progress) -> None:
    progress.observe(backlog=9, marker=7, now=0.0)
    progress.restart()
    assert progress.observe(backlog=9, marker=7, now=40.0) == UP
    assert progress.observe(backlog=9, marker=7, now=70.0).state == "down"


def test_the_gauge_follows(progress: Progress) -> None:
    assert gauge() == 0
    progress.observe(backlog=1, marker=7, now=0.0)
    progress.observe(backlog=1, marker=7, now=30.0)
    assert gauge() == 1
    progress.observe(backlog=1, marker=8, now=31.0)
    assert gauge() == 0
    progress.forget()
    assert gauge() is None
    progress.forget()


def test_all_processes_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT_SECONDS == 30.0
    monkeypatch.setattr("apps.events.process.progress.LIMIT_SECONDS", 3.0)
    assert Progress("test").limit_seconds == 3.0
