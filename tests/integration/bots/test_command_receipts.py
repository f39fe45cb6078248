"""Command receipts: the progress of a command."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.bots.errors import CommandNotFound
from apps.bots.models import Bot, BotCommand
from apps.bots.selectors.command_receipts import CommandReceipt, command_receipt_get, command_receipt_of
from apps.bots.services.commands import bot_start, bot_stop
from apps.bots.services.definitions import bot_delete
from tests.factories.bots import TraderClient
from tests.integration.bots.executions import deliver, execution

pytestmark = pytest.mark.django_db


@pytest.fixture
def command(bot: Bot) -> BotCommand:
    return bot_start(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())


def receipt(command: BotCommand) -> CommandReceipt:
    return command_receipt_get(
        bot_id=command.bot_id, command_id=command.id, user_id=command.user_id, now=timezone.now()
    )


def test_in_the_outbox_it_is_requested(command: BotCommand) -> None:
    found = receipt(command)

    assert (found.state, found.attempts, found.begun_at, found.finished_at) == ("requested", 0, None, None)


def test_confirmed_by_the_broker_it_is_delivered(command: BotCommand) -> None:
    deliver(command.id)
    assert receipt(command).state == "delivered"


def test_with_a_worker_it_is_running(command: BotCommand) -> None:
    execution(command.id, "running")
    assert (receipt(command).state, receipt(command).attempts) == ("running", 1)


def test_between_attempts_it_is_running_and_says_what_went_wrong(command: BotCommand) -> None:
    execution(command.id, "retrying", attempts=3, reason="ExchangeUnavailable: no answer")

    found = receipt(command)
    assert (found.state, found.attempts, found.reason) == ("running", 3, "ExchangeUnavailable: no answer")


def test_done_it_keeps_no_reason_of_an_earlier_attempt(command: BotCommand) -> None:
    execution(command.id, "done", attempts=2, reason="ExchangeUnavailable: no answer")

    found = receipt(command)
    assert (found.state, found.reason) == ("done", "")
    assert found.begun_at is not None
    assert found.finished_at is not None


@pytest.mark.parametrize("state", ["failed", "dropped"])
def test_come_to_nothing_it_says_why(command: BotCommand, state: str) -> None:
    execution(command.id, state, reason="superseded by a stop")
    assert (receipt(command).state, receipt(command).reason) == (state, "superseded by a stop")


def test_out_of_time_before_any_worker_had_it_it_is_dropped(command: BotCommand) -> None:
    later = command.expires_at + timedelta(seconds=1)
    found = command_receipt_of(command, now=later)

    assert (found.state, found.finished_at) == ("dropped", command.expires_at)
    assert found.reason == "It ran out of time."


def test_overruled_it_names_what_overruled_it(bot: Bot, command: BotCommand) -> None:
    stop = bot_stop(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    assert receipt(command).command.superseded_by_id == stop.id


def test_of_a_deleted_bot_it_is_still_there(bot: Bot, command: BotCommand) -> None:
    execution(command.id, "failed")
    bot_delete(bot_id=bot.id, user_id=bot.user_id, now=timezone.now())

    assert receipt(command).state == "failed"


def test_of_another_user_or_of_another_bot_it_is_not_found(command: BotCommand) -> None:
    now = timezone.now()
    with pytest.raises(CommandNotFound):
        command_receipt_get(bot_id=command.bot_id, command_id=command.id, user_id=uuid4(), now=now)
    with pytest.raises(CommandNotFound):
        command_receipt_get(bot_id=uuid4(), command_id=command.id, user_id=command.user_id, now=now)


ORDER = {
    "client_order_id": "mkaaaaaaaaaaaaaaaa",
    "exchange_order_id": "OAAAAA-AAAAA-AAAAAA",
    "side": "buy",
    "state": "open",
    "code": "",
    "volume": "0.01",
    "filled_volume": "0",
    "filled_cost": "0",
    "average_price": None,
    "fee": "0",
    "sent_at": "2026-01-01T12:00:00+00:00",
    "ended_at": None,
}
STOP = {
    "outcome": "incomplete",
    "is_final": False,
    "code": "orders_not_ended",
    "message": "The end of 1 of the orders is not proved yet.",
    "cancels": True,
    "left_volume": "0",
    "orders": [ORDER],
}
TRADE = {
    "outcome": "filled",
    "is_final": True,
    "code": "",
    "message": "The order was filled.",
    "filled_volume": "0.01",
    "average_price": "30000",
    "fee": "0.3",
    "orders": [ORDER],
}


def test_done_with_something_left_it_is_incomplete_and_says_why(command: BotCommand) -> None:
    execution(command.id, "done", result=STOP)
    found = receipt(command)
    assert (found.state, found.is_incomplete, found.reason) == ("done", True, STOP["message"])


@pytest.mark.parametrize(
    ("outcome", "is_incomplete"),
    [("filled", False), ("partly_filled", False), ("not_filled", False), ("refused", False), ("not_sent", False),
     ("unknown", True), ("open", True), ("complete", False)],
)  # fmt: skip
def test_only_what_may_still_come_out_otherwise_is_incomplete(
    command: BotCommand, outcome: str, is_incomplete: bool
) -> None:
    execution(command.id, "done", result={**TRADE, "outcome": outcome})
    assert receipt(command).is_incomplete is is_incomplete


@pytest.mark.urls("kraken_service.urls")
@pytest.mark.parametrize("result", [STOP, TRADE, None])
def test_the_result_is_in_the_answer(
    trader: TraderClient, command: BotCommand, result: dict[str, object] | None
) -> None:
    execution(command.id, "done", result=result)
    shown = trader.get(f"/api/v1/bot/{command.bot_id}/commands/{command.id}").json()
    if result is None:
        assert (shown["result"], shown["incomplete"]) == (None, False)
        return
    assert shown["result"]["outcome"] == result["outcome"]
    [order] = shown["result"]["orders"]
    assert order["client_order_id"] == ORDER["client_order_id"]
    assert order["exchange_order_id"] == ORDER["exchange_order_id"]
    assert ("left_volume" in shown["result"]) == (result is STOP)
