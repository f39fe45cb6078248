"""Where a failed message goes next, for every state its command can be in."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from apps.events.brokers.rabbitmq.headers import ATTEMPT, DEFERRALS
from apps.events.commands.retry_router.decision import (
    MAX_DEFERRALS,
    FailedMessage,
    GiveUp,
    Retry,
    Settled,
    command_id_of,
    decide,
)
from apps.events.models import CommandExecution
from apps.messages.bots import BotStarted, StopBot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELAYS = (5, 30, 120, 600)
COMMAND = StopBot(command_id=uuid4(), bot_id=uuid4(), user_id=uuid4(), requested_at=NOW, expires_at=NOW)
BODY = b"[[], " + COMMAND.canonical_bytes() + b", {}]"
TASK = {"task": "bot.stop", "id": str(COMMAND.command_id)}


def failed(body: bytes = BODY, declared: Any = StopBot, *, headers: dict[str, Any] | None = None) -> FailedMessage:
    queue = declared.declaration.destination if declared is not None else "auditor.news"
    return FailedMessage(queue, declared, TASK | {ATTEMPT: 1} | (headers or {}), body)


def row(state: str, attempts: int, **fields: Any) -> CommandExecution:
    return CommandExecution(command_id=COMMAND.command_id, state=state, attempts=attempts, reason="why", **fields)


def decision(message: FailedMessage, found: CommandExecution | None) -> Any:
    return decide(message, found, delays=DELAYS, now=NOW)


@pytest.mark.parametrize(("attempts", "delay"), [(1, 5), (2, 30), (3, 120), (4, 600)])
def test_each_failed_attempt_leads_to_its_rung(attempts: int, delay: int) -> None:
    message = failed(headers={ATTEMPT: attempts, DEFERRALS: 3})

    assert decision(message, row("retrying", attempts)) == Retry(delay, attempts + 1)


def test_the_row_counts_where_the_header_lags_behind() -> None:
    # Killed workers had their attempts without a new message.
    assert decision(failed(headers={ATTEMPT: 1}), row("retrying", 3)) == Retry(120, 4)


def test_a_command_out_of_attempts_is_dead() -> None:
    assert decision(failed(headers={ATTEMPT: 5}), row("failed", 5)) == GiveUp("why")


@pytest.mark.parametrize("state", ["done", "dropped"])
def test_a_finished_command_needs_nothing_more(state: str) -> None:
    assert decision(failed(), row(state, 1)) == Settled(f"already {state}")


def test_a_command_that_failed_for_good_early_needs_nothing_more() -> None:
    assert isinstance(decision(failed(), row("failed", 1)), Settled)


@pytest.mark.parametrize(("seconds", "delay"), [(3, 5), (5, 5), (29, 30), (31, 120)])
def test_a_command_that_runs_elsewhere_waits_for_the_end_of_that_lease_and_no_attempt_is_counted(
    seconds: int, delay: int
) -> None:
    running = row("running", 2, lease_until=NOW + timedelta(seconds=seconds), worker="elsewhere/x/1/1")

    assert decision(failed(headers={ATTEMPT: 2}), running) == Retry(delay, 2, 0)


def test_a_lease_that_ends_later_than_any_can_is_void_because_the_clock_was_set_back() -> None:
    ahead = row("running", 2, lease_until=NOW + timedelta(hours=1), worker="elsewhere/x/1/1")

    assert decision(failed(headers={ATTEMPT: 2}), ahead) == Retry(5, 3, 1)


def test_a_command_whose_worker_is_gone_goes_back_soon() -> None:
    gone = row("running", 2, lease_until=NOW, worker="elsewhere/x/1/1")

    assert decision(failed(headers={ATTEMPT: 2}), gone) == Retry(5, 3, 1)


def test_a_delivery_that_never_reached_its_row_is_no_attempt_and_waits_longer_each_time() -> None:
    first = decision(failed(), None)
    second = decision(failed(headers={DEFERRALS: 1}), None)

    assert (first, second) == (Retry(5, 1, 1), Retry(30, 1, 2))


def test_a_delivery_that_claimed_nothing_on_its_second_attempt_is_no_attempt_either() -> None:
    assert decision(failed(headers={ATTEMPT: 2}), row("retrying", 1)) == Retry(5, 2, 1)


def test_a_command_that_no_worker_can_take_is_given_up_in_the_end() -> None:
    given_up = decision(failed(headers={DEFERRALS: MAX_DEFERRALS}), None)

    assert given_up == GiveUp(f"deferred {MAX_DEFERRALS} times: no worker could take it", fails_command=True)


def test_a_worker_lost_on_the_last_attempt_is_told_by_a_last_delivery() -> None:
    lost = row("running", 5, lease_until=NOW, worker="elsewhere/x/1/1")

    assert decision(failed(headers={ATTEMPT: 5}), lost) == Retry(5, 6, 1)


@pytest.mark.parametrize("body", [b"", b"\x80", b"{}", b"[[], {}, {}]", b"[]", json.dumps([[], [], {}]).encode()])
def test_what_is_not_a_command_of_that_queue_is_dead_at_once(body: bytes) -> None:
    assert isinstance(decision(failed(body), None), GiveUp)
    assert command_id_of(failed(body)) is None


def test_a_status_message_without_our_headers_is_dead_at_once() -> None:
    assert isinstance(decision(failed(b"{}", BotStarted), None), GiveUp)


@pytest.mark.parametrize(("attempt", "expected"), [(1, Retry(5, 2)), (4, Retry(600, 5)), (5, GiveUp("failed 5 times"))])
def test_what_has_no_row_is_counted_by_its_header(attempt: int, expected: Any) -> None:
    assert decision(failed(b"anything", None, headers={ATTEMPT: attempt}), None) == expected


@pytest.mark.parametrize("nonsense", ["3", -1, None, 2.5])
def test_a_count_that_is_not_one_is_the_first(nonsense: Any) -> None:
    assert decision(failed(b"anything", None, headers={ATTEMPT: nonsense}), None) == Retry(5, 2)
