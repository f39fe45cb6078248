"""The state of a bot, from its last report and its pending command."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.bots.lifecycle import PendingCommand, state_of
from apps.bots.models import BotState, CommandKind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(minutes=5)
ENDING = [CommandKind.PAUSE, CommandKind.STOP, CommandKind.FLATTEN]


def state(
    reported: BotState,
    kind: CommandKind | None = None,
    execution: str | None = None,
    *,
    since: datetime | None = EARLIER,
    expires_at: datetime = LATER,
    finished_at: datetime | None = None,
) -> BotState:
    pending = PendingCommand(kind, expires_at, execution, finished_at) if kind else None
    return state_of(reported=reported, since=since, pending=pending, now=NOW)


@pytest.mark.parametrize("reported", [BotState.STOPPED, BotState.RUNNING, BotState.PAUSED, BotState.ERROR])
def test_without_a_command_it_is_what_the_bot_reported(reported: BotState) -> None:
    assert state(reported) == reported


@pytest.mark.parametrize("execution", [None, "running", "retrying"])
def test_a_start_under_way_is_starting(execution: str | None) -> None:
    assert state(BotState.STOPPED, CommandKind.START, execution) == BotState.STARTING


@pytest.mark.parametrize("kind", ENDING)
@pytest.mark.parametrize("execution", [None, "running", "retrying"])
def test_an_end_under_way_is_stopping(kind: CommandKind, execution: str | None) -> None:
    assert state(BotState.RUNNING, kind, execution) == BotState.STOPPING


@pytest.mark.parametrize("execution", ["failed", "dropped"])
@pytest.mark.parametrize("kind", [CommandKind.START, *ENDING])
def test_a_command_that_came_to_nothing_changes_nothing(kind: CommandKind, execution: str) -> None:
    assert state(BotState.ERROR, kind, execution, finished_at=NOW) == BotState.ERROR


def test_a_command_that_ran_out_of_time_undelivered_changes_nothing() -> None:
    assert state(BotState.STOPPED, CommandKind.START, expires_at=NOW) == BotState.STOPPED


def test_a_start_that_is_done_counts_before_its_news_arrive() -> None:
    assert state(BotState.STOPPED, CommandKind.START, "done", finished_at=NOW) == BotState.RUNNING
    assert state(BotState.STOPPED, CommandKind.START, "done", finished_at=NOW, since=None) == BotState.RUNNING


def test_news_after_a_start_count_more_than_the_start() -> None:
    assert state(BotState.ERROR, CommandKind.START, "done", finished_at=EARLIER, since=NOW) == BotState.ERROR


@pytest.mark.parametrize("kind", ENDING)
def test_a_run_that_winds_down_is_stopping_until_it_says_otherwise(kind: CommandKind) -> None:
    assert state(BotState.RUNNING, kind, "done", finished_at=NOW) == BotState.STOPPING
    assert state(BotState.STOPPED, kind, "done", finished_at=EARLIER, since=NOW) == BotState.STOPPED
    assert state(BotState.PAUSED, kind, "done", finished_at=NOW) == BotState.PAUSED
