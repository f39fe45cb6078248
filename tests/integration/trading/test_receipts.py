"""What a command came to is in its receipt: every order with its proved end, and never plain done where it is not."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.core.errors import PlatformError
from apps.events.commands.executions import State
from apps.events.models import CommandExecution
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import Cancellation, ExchangeOrder, ExchangeTrade, Rejected, RejectionKind
from apps.messages.base import Command
from apps.messages.bots import StopBot
from apps.risk.models.halts import HaltScope
from apps.trading.errors import FlattenIncomplete
from apps.trading.models.ledger import Position
from apps.trading.models.orders import OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.services.orders.lifecycle import intent_mark_sending
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.manual_trade import trade_complete, trade_result_failed, trade_trigger
from apps.trading.services.runs.stop import run_stop
from tests.factories.fake_account import INSUFFICIENT_FUNDS
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.risk import halted
from tests.factories.trading import (
    FALLING,
    NOW,
    SteppingClock,
    context_of,
    delivery_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
    stop_command,
    trigger_command,
)

pytestmark = pytest.mark.django_db

BUSY = Rejected("rate_limited", "Too many orders.", RejectionKind.BACK_OFF, "EOrder:Rate limit exceeded")


class Bot:
    """A running bot on an exchange in memory."""

    def __init__(self) -> None:
        self.exchange: FakeExchange = fake_exchange(FALLING)
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        self.run = running_bot(self.context)

    def trade(self, side: str = "buy", *, fail: bool = False) -> dict[str, Any]:
        """A requested trade, run as a worker does."""
        command = trigger_command(self.run, side=side)
        delivery = delivery_of(command)
        try:
            trade_trigger(command=command, context=self.context)
            trade_complete(command=command, delivery=delivery, now=self.clock())
        except PlatformError as error:
            delivery.fail(error.message, now=self.clock())
            trade_result_failed(command=command, code=error.code, message=error.message)
        return result_of(command)

    def stop(self, manner: str = "stop", command: StopBot | None = None) -> dict[str, Any]:
        self.command = command or stop_command(self.run, manner=manner)
        run_stop(command=self.command, delivery=delivery_of(self.command), context=self.context)
        return result_of(self.command)

    def last_result(self) -> dict[str, Any]:
        return result_of(self.command)

    def reconcile(self, *, seconds: float) -> None:
        self.clock.sleep(seconds)
        orders_reconcile(context=self.context)


class RestingBot(Bot):
    """A running bot with an order on the book, a fifth below the market."""

    def __init__(self, *, fault: SubmitFault | None = None, send: bool = True) -> None:
        self.exchange = fake_exchange([30000] * 30)
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        self.planned = planned_order(self.exchange, self.clock, kind=OrderKind.REST, price=Decimal(24000))
        self.run = self.planned.run
        if fault is not None:
            self.exchange.next_submits.append(fault)
        if send:
            order_place(lease=self.planned.lease, intent_id=self.planned.intent.id, deps=self.planned.deps)
            self.planned.lease.release()


def result_of(command: Command) -> dict[str, Any]:
    execution = CommandExecution.objects.get(command_id=command.command_id)
    assert execution.finished_at is not None
    assert execution.result is not None
    return execution.result


class TestTrades:
    def test_filled(self) -> None:
        result = Bot().trade()
        intent = only_intent()
        assert (result["outcome"], result["is_final"]) == ("filled", True)
        assert Decimal(result["filled_volume"]) == intent.volume
        assert Decimal(result["average_price"]) > 0
        [order] = result["orders"]
        assert (order["client_order_id"], order["exchange_order_id"]) == (intent.cl_ord_id, intent.txid)
        assert order["state"] == "filled"

    def test_partly_filled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bot = Bot()
        take_all = bot.exchange._execute

        def take_a_part(order: ExchangeOrder, _: Decimal, price: Decimal) -> ExchangeTrade:
            trade = take_all(order, Decimal("0.01"), price)
            bot.exchange.end(order.exchange_order_id, reason="IOC")
            return trade

        monkeypatch.setattr(bot.exchange, "_execute", take_a_part)
        result = bot.trade()
        assert (result["outcome"], result["filled_volume"]) == ("partly_filled", "0.01")
        assert result["orders"][0]["state"] == "canceled"

    def test_not_filled(self) -> None:
        bot = Bot()
        # The market moves away while the order travels.
        bot.exchange.on("submit", before=lambda _: bot.exchange.set_price(Decimal(90_000)))
        result = bot.trade()
        assert (result["outcome"], result["filled_volume"], result["average_price"]) == ("not_filled", "0", None)
        assert "no taker" in result["message"]

    def test_refused_by_the_exchange(self) -> None:
        bot = Bot()
        bot.exchange.next_submits.append(INSUFFICIENT_FUNDS)
        result = bot.trade()
        assert (result["outcome"], result["code"]) == ("refused", "order_rejected")
        assert [order["state"] for order in result["orders"]] == ["rejected"]

    def test_refused_by_a_rule(self) -> None:
        result = Bot().trade("sell")
        assert (result["outcome"], result["code"], result["orders"]) == ("refused", "trade_refused", [])

    def test_refused_by_a_halt(self) -> None:
        bot = Bot()
        halted(HaltScope.BOT, bot.run.bot_id)
        result = bot.trade()
        assert (result["outcome"], result["orders"]) == ("refused", [])
        assert "Something is to be looked at." in result["message"]

    def test_never_sent(self) -> None:
        bot = Bot()
        bot.exchange.next_submits.append(SubmitFault.NOT_SENT)
        assert bot.trade()["outcome"] == "not_sent"

    def test_the_exchange_could_not_be_asked(self) -> None:
        bot = Bot()
        bot.exchange.on("instrument", instead=unavailable)
        bot.exchange.on("instruments", instead=unavailable)
        bot.exchange.on("ticker", instead=unavailable)
        result = bot.trade()
        assert (result["outcome"], result["orders"]) == ("not_sent", [])

    @pytest.mark.parametrize(
        ("fault", "becomes"), [(SubmitFault.LOST_AFTER, "filled"), (SubmitFault.LOST_BEFORE, "not_sent")]
    )
    def test_unknown_until_it_is_proved(self, fault: SubmitFault, becomes: str) -> None:
        bot = Bot()
        bot.exchange.next_submits.append(fault)
        result = bot.trade()
        assert (result["outcome"], result["is_final"]) == ("unknown", False)

        for _ in range(8):
            bot.reconcile(seconds=61)
        execution = CommandExecution.objects.get(name="bot.trigger_trade")
        assert execution.result is not None
        assert (execution.result["outcome"], execution.result["is_final"]) == (becomes, True)
        assert (execution.state, execution.result["orders"][0]["state"]) == (State.DONE, only_intent().state)


def unavailable(*_: object, **__: object) -> None:
    raise ExchangeUnavailable("The exchange does not answer.")


class TestStops:
    def test_it_lists_the_order_that_it_cancelled(self) -> None:
        bot = RestingBot()
        result = bot.stop()
        assert (result["outcome"], result["is_final"], result["code"]) == ("complete", True, "")
        [order] = result["orders"]
        assert (order["client_order_id"], order["state"]) == (only_intent().cl_ord_id, "canceled")
        assert order["exchange_order_id"]

    def test_it_lists_an_order_that_was_being_sent_when_it_was_asked_and_has_filled_since(self) -> None:
        bot = Bot()
        bot.trade()
        command = stop_command(bot.run, requested_at=NOW - timedelta(seconds=1))
        BotRun.objects.update(requested_at=NOW - timedelta(seconds=2))
        result = bot.stop(command=command)
        assert [order["state"] for order in result["orders"]] == ["filled"]
        assert result["orders"][0]["sent_at"] is not None

    def test_it_does_not_list_what_ended_before_it_was_asked(self) -> None:
        bot = Bot()
        bot.trade()
        assert bot.stop()["orders"] == []

    def test_it_lists_an_order_whose_worker_died_while_sending(self) -> None:
        bot = RestingBot(send=False)
        intent_mark_sending(lease=bot.planned.lease, intent_id=bot.planned.intent.id, now=NOW)
        bot.planned.lease.release()
        result = bot.stop()
        assert (result["outcome"], result["code"]) == ("incomplete", "orders_not_ended")
        assert [order["state"] for order in result["orders"]] == ["unknown"]

    def test_an_order_that_is_not_proved_gone_makes_it_incomplete_until_it_is(self) -> None:
        bot = RestingBot()
        bot.exchange.on("cancel", instead=lambda **_: Cancellation(0))
        result = bot.stop()
        assert (result["outcome"], result["is_final"], result["code"]) == ("incomplete", False, "orders_not_ended")
        assert "not proved" in result["message"]
        assert result["orders"][0]["state"] == "open"

        bot.exchange.off("cancel")
        bot.reconcile(seconds=60)
        result = bot.last_result()
        assert (result["outcome"], result["is_final"], result["message"]) == ("complete", True, "")
        assert result["orders"][0]["state"] == "canceled"

    def test_a_pause_is_complete_with_its_orders_on_the_book(self) -> None:
        result = RestingBot().stop("pause")
        assert (result["outcome"], result["is_final"]) == ("complete", True)
        assert [order["state"] for order in result["orders"]] == ["open"]

    def test_a_pause_with_an_order_in_doubt_is_incomplete(self) -> None:
        assert RestingBot(fault=SubmitFault.LOST_BEFORE).stop("pause")["outcome"] == "incomplete"

    def test_a_stop_of_a_paused_bot_cancels_what_the_pause_left(self) -> None:
        bot = RestingBot()
        bot.stop("pause")
        result = bot.stop(command=stop_command(bot.run, requested_at=NOW + timedelta(minutes=2)))
        assert result["outcome"] == "complete"
        assert only_intent().state == "canceled"
        assert [order["state"] for order in result["orders"]] == ["canceled"]

    def test_of_a_bot_with_nothing_to_stop_it_is_complete(self) -> None:
        bot = Bot()
        bot.stop()
        result = bot.stop(command=stop_command(bot.run, requested_at=NOW + timedelta(minutes=2)))
        assert (result["outcome"], result["orders"]) == ("complete", [])


class TestFlattens:
    def holding(self) -> Bot:
        bot = Bot()
        bot.trade()
        bot.clock.sleep(1)
        return bot

    def attempts(self, bot: Bot, each: Callable[[], None]) -> list[bool]:
        """Runs the flatten as often as a worker would. Whether each attempt asked for another."""
        bot.command = stop_command(bot.run, manner="flatten")
        again = []
        for attempt in range(1, 6):
            each()
            delivery = delivery_of(bot.command, now=NOW + timedelta(minutes=attempt))
            try:
                run_stop(command=bot.command, delivery=delivery, context=bot.context)
            except (FlattenIncomplete, ExchangeUnavailable):
                again.append(True)
            else:
                return [*again, False]
        return again

    def test_it_lists_the_sale(self) -> None:
        bot = self.holding()
        result = bot.stop("flatten")
        assert (result["outcome"], result["left_volume"]) == ("complete", "0")
        assert [(order["side"], order["state"]) for order in result["orders"]] == [("sell", "filled")]

    def test_a_sale_that_the_exchange_refuses_for_good_is_sent_once_and_the_receipt_names_what_is_left(self) -> None:
        bot = self.holding()
        sent = len(bot.exchange.submitted)
        again = self.attempts(bot, lambda: bot.exchange.next_submits.append(INSUFFICIENT_FUNDS))

        assert again == [False]
        assert len(bot.exchange.submitted) - sent == 1
        result = bot.last_result()
        assert (result["outcome"], result["code"]) == ("incomplete", "insufficient_funds")
        assert Decimal(result["left_volume"]) == Position.objects.get().base_volume > 0
        assert [order["state"] for order in result["orders"]] == ["rejected"]

    def test_a_refused_sale_is_not_sent_again_by_the_worker_that_follows_a_dead_one(self) -> None:
        bot = self.holding()
        bot.exchange.next_submits.append(INSUFFICIENT_FUNDS)
        bot.stop("flatten")
        sent = len(bot.exchange.submitted)
        # As if its worker had died before the commit of the end.
        CommandExecution.objects.filter(command_id=bot.command.command_id).update(
            state=State.RETRYING, finished_at=None, result=None
        )
        run_stop(command=bot.command, delivery=delivery_of(bot.command), context=bot.context)
        assert len(bot.exchange.submitted) == sent
        assert bot.last_result()["code"] == "insufficient_funds"

    def test_a_refusal_that_passes_is_tried_again(self) -> None:
        bot = self.holding()
        refusals = [BUSY]
        again = self.attempts(bot, lambda: bot.exchange.next_submits.extend(refusals and [refusals.pop()]))
        assert again == [True, False]
        assert bot.last_result()["outcome"] == "complete"

    def test_a_sale_in_doubt_is_incomplete_until_it_is_proved_sold(self) -> None:
        bot = self.holding()
        bot.exchange.on("cancel", before=unavailable)
        faults = [SubmitFault.LOST_AFTER]
        bot.exchange.on("open_orders", instead=unavailable)
        bot.exchange.on("closed_orders", instead=unavailable)
        self.attempts(bot, lambda: bot.exchange.next_submits.extend(faults and [faults.pop()]))
        result = bot.last_result()
        assert (result["outcome"], result["is_final"]) == ("incomplete", False)
        assert Decimal(result["left_volume"]) > 0

        for call in ("open_orders", "closed_orders", "cancel"):
            bot.exchange.off(call)
        bot.reconcile(seconds=61)
        result = bot.last_result()
        assert (result["outcome"], result["is_final"], result["left_volume"]) == ("complete", True, "0")
        assert Position.objects.get().base_volume == 0

    def test_under_a_halt_nothing_is_sold_and_the_receipt_says_so(self) -> None:
        bot = self.holding()
        halted(HaltScope.PLATFORM)
        result = bot.stop("flatten")
        assert (result["outcome"], result["code"]) == ("incomplete", "halted")
        assert Position.objects.get().base_volume > 0
