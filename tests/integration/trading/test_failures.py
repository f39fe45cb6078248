"""What the exchange says once may pause a run. Only a proved fault of its key ends it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.core.errors import PlatformError
from apps.exchange.errors import (
    HistoryTooLong,
    IntervalNotOffered,
    KeyInvalid,
    KeyLacksPermission,
    KeySuspended,
    OutcomeUnknown,
)
from apps.exchange.kraken.error_classification import error_of_read, refusal_of_placement
from apps.exchange.types import OrderRequest, Submission
from apps.messages.bots import BotError, BotStopped
from apps.messages.trading import BotTradeSkipped
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.placement import order_place, orders_sync
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.errors import KeyNotConnected
from tests.factories.fake_account import ALL_PERMISSIONS
from tests.factories.fake_exchange import FakeExchange, raising
from tests.factories.trading import (
    NOW,
    SteppingClock,
    add_candle,
    only_intent,
    planned_order,
    running_bot,
)
from tests.integration.trading.test_ticks import story

pytestmark = pytest.mark.django_db

# Every error that Kraken documents, or that was observed of it, and two that nobody has seen.
KEY_FAULTS = ["EAPI:Invalid key", "EAPI:Invalid signature"]
PASSING = [
    "EAPI:Bad request",
    "EAPI:Feature disabled",
    "EAPI:Invalid nonce",
    "EAPI:Rate limit exceeded",
    "EAccount:Invalid permissions:USDT trading restricted for AT.",
    "EAuth:Account temporary disabled",
    "EAuth:Failed",
    "EAuth:Rate limit exceeded",
    "EBM:limit exceeded:CAL",
    "EEarnings:Busy",
    "EFuture:Who knows",
    "EGeneral:Internal error",
    "EGeneral:Invalid arguments",
    "EGeneral:Invalid arguments:deadline",
    "EGeneral:Invalid arguments:volume",
    "EGeneral:Invalid arguments:volume minimum not met",
    "EGeneral:Permission denied",
    "EGeneral:Temporary lockout",
    "EGeneral:Too many requests",
    "EGeneral:Unknown method",
    "EOrder:Cannot open opposing position",
    "EOrder:Cost minimum not met",
    "EOrder:Domain rate limit exceeded",
    "EOrder:Insufficient funds",
    "EOrder:Insufficient initial margin",
    "EOrder:Insufficient liquidity",
    "EOrder:Insufficient margin",
    "EOrder:Invalid order",
    "EOrder:Invalid price",
    "EOrder:Order minimum not met",
    "EOrder:Orders limit exceeded",
    "EOrder:Post only order",
    "EOrder:Rate limit exceeded",
    "EOrder:Reduce only:No position exists",
    "EOrder:Scheduled orders limit exceeded",
    "EOrder:Tick size check failed",
    "EOrder:Trading agreement required",
    "EOrder:Unknown order",
    "EOrder:Unknown position",
    "EOrder:cl_ord_id already in use",
    "EQuery:Unknown asset",
    "EQuery:Unknown asset pair",
    "EService: Throttled: 1767268860",
    "EService:Busy",
    "EService:Deadline elapsed",
    "EService:Market in cancel_only mode",
    "EService:Market in limit_only mode",
    "EService:Market in post_only mode",
    "EService:Timeout",
    "EService:Unavailable",
    "ESession:Invalid session",
    "ETrade:Invalid request",
    "ETrade:User Locked",
    "words without a letter before them",
]


def answering(text: str) -> Callable[[OrderRequest], Submission]:
    """A placement that is answered with this error, as the adapter reads it."""
    return lambda order: refusal_of_placement((text,), cl_ord_id=order.client_order_id)


class TestReads:
    @pytest.mark.parametrize("text", PASSING)
    def test_an_error_pauses_the_run_and_a_later_tick_decides(
        self, text: str, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(error_of_read((text,)))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.TROUBLE
        run.refresh_from_db()
        assert run.state == RunState.RUNNING
        assert run.next_tick_at > clock.now
        assert OrderIntent.objects.count() == 0

        clock.now = run.next_tick_at
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
        run.refresh_from_db()
        assert (run.state, run.trouble_code) == (RunState.RUNNING, "")

    @pytest.mark.parametrize("text", KEY_FAULTS)
    def test_a_key_fault_ends_the_run(self, text: str, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = running_bot(context)
        exchange.fail_reads(error_of_read((text,)))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.FAILED

    @pytest.mark.parametrize("error", [KeySuspended("It failed its test."), KeyNotConnected("There is no such key.")])
    def test_a_key_that_cannot_be_opened_ends_the_run(self, error: PlatformError, context: ExecutionContext) -> None:
        run = running_bot(context)
        unopened = replace(context, open_exchange=raising(error))
        assert tick_run(run_id=run.id, context=unopened) == TickOutcome.FAILED

    def test_a_missing_permission_ends_the_run_where_the_key_proves_it(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.key = replace(exchange.key, permissions=ALL_PERMISSIONS - {"modify-trades"})
        exchange.fail_reads(error_of_read(("EGeneral:Permission denied",)))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.FAILED

    def test_a_permission_that_the_key_has_is_no_fault_of_the_key(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.on("ohlc", before=raising(KeyLacksPermission("Not for this account.")))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.TROUBLE

    def test_an_unknown_error_is_announced_at_once_and_once_while_the_run_goes_on(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        for _ in range(20):
            exchange.fail_reads(error_of_read(("EFuture:Who knows",)))
            assert tick_run(run_id=run.id, context=context) == TickOutcome.TROUBLE
            run.refresh_from_db()
            clock.now = run.next_tick_at
        [error] = story(run)
        assert isinstance(error, BotError)
        assert (error.code, error.message, error.is_final) == (
            "exchange_refused",
            "The exchange refused: EFuture:Who knows",
            False,
        )

    def test_pauses_grow_up_to_a_limit(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        pauses = []
        for _ in range(9):
            exchange.fail_reads(error_of_read(("EFuture:Who knows",)))
            tick_run(run_id=run.id, context=context)
            run.refresh_from_db()
            pauses.append((run.next_tick_at - clock.now).total_seconds())
            clock.now = run.next_tick_at
        assert pauses == [5, 5, 10, 20, 40, 80, 160, 300, 300]

    def test_the_exchanges_own_waiting_time_is_kept(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(error_of_read(("EGeneral:Temporary lockout",)))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.next_tick_at == NOW + timedelta(minutes=15)

    def test_after_an_unknown_error_nothing_is_bought_before_the_pause_is_over(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(error_of_read(("EFuture:Who knows",)))
        tick_run(run_id=run.id, context=context)
        # A tick before the pause is over, as a manual trade's would be.
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
        [_, skipped] = story(run)
        assert isinstance(skipped, BotTradeSkipped)
        assert skipped.code == "entries_held"
        assert exchange.submitted == []

    def test_an_interval_that_the_market_has_no_more_pauses_the_run_with_its_sentence(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.on("ohlc", before=raising(IntervalNotOffered(pair="XBTUSD", interval_minutes=60)))
        for _ in range(3):
            assert tick_run(run_id=run.id, context=context) == TickOutcome.TROUBLE
        [error] = story(run)
        assert isinstance(error, BotError)
        assert (error.code, error.message) == (
            "interval_not_offered",
            "There are no candles of 60 minutes for XBTUSD.",
        )
        exchange.off("ohlc")
        clock.sleep(300)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED


class TestPlacements:
    @pytest.mark.parametrize("text", [text for text in PASSING if "EGeneral:Permission" not in text])
    def test_an_error_keeps_the_run_running_and_nothing_is_sent_twice_for_a_candle(
        self, text: str, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.on("submit", instead=answering(text))
        for _ in range(3):
            tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.state == RunState.RUNNING
        assert only_intent().state in (IntentState.REJECTED, IntentState.UNKNOWN)
        assert exchange.calls.count("submit") == 1
        assert not any(isinstance(message, BotStopped) for message in story(run))

    @pytest.mark.parametrize("text", KEY_FAULTS)
    def test_a_key_fault_ends_the_run(self, text: str, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = running_bot(context)
        exchange.on("submit", instead=answering(text))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.state == RunState.ERROR

    @pytest.mark.parametrize(
        ("permissions", "state"),
        [(ALL_PERMISSIONS, RunState.RUNNING), (ALL_PERMISSIONS - {"modify-trades"}, RunState.ERROR)],
    )
    def test_a_denied_permission_ends_the_run_where_the_key_lacks_it(
        self, permissions: frozenset[str], state: RunState, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.key = replace(exchange.key, permissions=permissions)
        exchange.on("submit", instead=answering("EGeneral:Permission denied"))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.state == state

    @pytest.mark.parametrize("text", ["EFuture:Who knows", "EGeneral:Invalid arguments:oflags"])
    def test_what_a_person_should_look_at_is_an_alert_once(
        self, text: str, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context, strategy="dca", parameters={"every_candles": 1, "quote_amount": "50"})
        exchange.on("submit", instead=answering(text))
        for number in range(3):
            tick_run(run_id=run.id, context=context)
            add_candle(exchange, 23000 + number)
            clock.sleep(3600)
        errors = [message for message in story(run) if isinstance(message, BotError)]
        assert len(errors) == 1
        assert not errors[0].is_final

    def test_entries_pause_longer_after_each_refusal_in_a_row(
        self, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        run = running_bot(context, strategy="dca", parameters={"every_candles": 1, "quote_amount": "50"})
        exchange.on("submit", instead=answering("EOrder:Insufficient funds"))
        pauses = []
        for number in range(8):
            tick_run(run_id=run.id, context=context)
            run.refresh_from_db()
            assert run.entries_held_until is not None
            pauses.append((run.entries_held_until - clock.now).total_seconds())
            clock.now = run.entries_held_until
            add_candle(exchange, 23000 + number)
        assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
        exchange.off("submit")
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.refusals == 0

    def test_a_locked_key_is_left_alone_for_a_quarter_of_an_hour(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.on("submit", instead=answering("EGeneral:Temporary lockout"))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.next_tick_at == NOW + timedelta(minutes=15)


def test_a_history_that_is_too_long_leaves_a_resting_order_open(exchange: FakeExchange, clock: SteppingClock) -> None:
    planned = planned_order(exchange, clock, kind=OrderKind.REST, price=Decimal(20000))
    intent = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent
    exchange.fill(intent.txid, volume=Decimal("0.004"))
    exchange.rewrite(intent.txid, trade_ids=())
    exchange.on("trades_history", before=raising(HistoryTooLong("Too many.")))
    [intent] = orders_sync([intent], deps=planned.deps)
    assert (intent.state, intent.filled_volume) == (IntentState.OPEN, 0)

    exchange.off("trades_history")
    [intent] = orders_sync([intent], deps=planned.deps)
    assert (intent.state, intent.filled_volume) == (IntentState.PARTIAL, Decimal("0.004"))
    assert BotRun.objects.get().is_running


def test_an_unclassified_answer_is_of_unknown_outcome() -> None:
    with pytest.raises(OutcomeUnknown):
        refusal_of_placement(("EFuture:Who knows",), cl_ord_id="mk")
    assert isinstance(error_of_read(("EAPI:Invalid key",)), KeyInvalid)
