"""No step of an order is silent: what is stored of an order is published with it, or neither is."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import transaction

from apps.core.terms import Side
from apps.events.store.selectors import stream_list
from apps.exchange.types import ExchangeOrder, ExchangeTrade, OrderStatus
from apps.messages.orders import (
    BotOrderEnded,
    BotOrderFilled,
    BotOrderNeedsPerson,
    BotOrderOpened,
    BotOrderPartlyFilled,
    BotOrderPlanned,
    BotOrderResolved,
    BotOrderSent,
    BotOrderUnknown,
    OrderFacts,
)
from apps.messages.trading import BotTradeExecuted
from apps.trading.models.order_states import TRANSITIONS, IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.services.orders.announcements import EVENT_OF_STATE, order_save
from apps.trading.services.orders.fills import order_record
from apps.trading.services.orders.lifecycle import (
    intent_accepted,
    intent_end,
    intent_mark_conflict,
    intent_mark_unknown,
    intent_needs_human,
)
from apps.trading.services.orders.placement import order_place
from tests.factories.trading import NOW, Planned, fake_exchange, mark_sending, planned_order
from tests.integration.trading.test_order_states import columns_of, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def planned() -> Planned:
    return planned_order(fake_exchange([30000] * 30), kind=OrderKind.REST)


def told(planned: Planned) -> list[OrderFacts]:
    events = stream_list(aggregate_type="bot", aggregate_id=planned.run.bot_id)
    return [each for each in (event.message() for event in events) if isinstance(each, OrderFacts)]


def types(planned: Planned) -> list[type]:
    return [type(each) for each in told(planned)]


def opened(planned: Planned) -> OrderIntent:
    mark_sending(planned)
    return intent_accepted(intent_id=planned.intent.id, exchange_order_id="OABC", source="AddOrder", now=NOW)


def on_the_exchange(executed: str, status: OrderStatus = OrderStatus.OPEN) -> ExchangeOrder:
    return ExchangeOrder(
        exchange_order_id="OABC",
        status=status,
        pair="XBTUSD",
        side=Side.BUY,
        order_type="limit",
        volume=Decimal("0.01"),
        executed_volume=Decimal(executed),
        cost=Decimal(0),
        fee=Decimal(0),
        reason="User requested" if status is OrderStatus.CANCELED else "",
    )


def trade(trade_id: str, volume: str) -> ExchangeTrade:
    return ExchangeTrade(
        trade_id=trade_id,
        exchange_order_id="OABC",
        pair="XXBTZUSD",
        side=Side.BUY,
        price=Decimal(30000),
        volume=Decimal(volume),
        cost=Decimal(30000) * Decimal(volume),
        fee=Decimal("0.1"),
        executed_at=NOW,
    )


def record(planned: Planned, order: ExchangeOrder, *trades: ExchangeTrade) -> None:
    order_record(intent_id=planned.intent.id, order=order, trades=trades, now=NOW)


def test_every_legal_transition_is_published_with_the_order_as_it_is_then(planned: Planned) -> None:
    steps = [(current, new) for current, following in TRANSITIONS.items() for new in following]
    for current, new in steps:
        before = len(told(planned))
        order = put(planned.intent, current)
        for name, value in columns_of(new).items():
            setattr(order, name, value)
        order_save(order, now=NOW)
        told_of_it = told(planned)[before:]
        event: type = EVENT_OF_STATE[new]
        assert [type(each) for each in told_of_it][-1] == event, (current, new)
        assert (told_of_it[-1].order_id, told_of_it[-1].state) == (order.id, new)
        OrderIntent._base_manager.filter(id=order.id).update(
            state=IntentState.PLANNED, txid="", filled_volume=0, ended_at=None, sent_at=None, deadline=None
        )


def test_a_step_that_nobody_announces_is_not_stored(planned: Planned) -> None:
    intent = planned.intent
    intent.move_to(IntentState.SENDING)
    intent.sent_at = intent.deadline = NOW
    with pytest.raises(TypeError, match="order_save"):
        intent.save()
    intent.refresh_from_db()
    intent.evidence = [{"because": "nothing"}]
    with pytest.raises(TypeError, match="order_save"):
        intent.save(update_fields=["evidence"])
    intent.refresh_from_db()
    assert (intent.state, intent.evidence) == (IntentState.PLANNED, [])


def test_a_step_that_is_rolled_back_was_never_told(planned: Planned) -> None:
    class Crash(Exception):
        pass

    with pytest.raises(Crash), transaction.atomic():
        mark_sending(planned)
        raise Crash
    assert types(planned) == [BotOrderPlanned]


def test_a_placed_order_tells_each_of_its_steps() -> None:
    planned = planned_order(fake_exchange([30000] * 30))
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    assert types(planned) == [BotOrderPlanned, BotOrderSent, BotOrderOpened, BotOrderFilled]
    first, placing, open_order, filled = told(planned)
    assert (first.sent_at, first.exchange_order_id, first.evidence) == (None, "", ())
    assert placing.deadline is not None
    assert open_order.exchange_order_id == filled.exchange_order_id != ""
    assert [entry["source"] for entry in open_order.evidence] == ["AddOrder"]
    assert (filled.filled_volume, filled.filled_cost) == (filled.volume, Decimal(300))
    assert {(each.run_id, each.user_id, each.credential_id) for each in told(planned)} == {
        (planned.run.id, planned.run.user_id, planned.run.credential_id)
    }


def test_fills_are_told_before_what_they_make_of_the_order(planned: Planned) -> None:
    opened(planned)
    record(planned, on_the_exchange("0.004"), trade("T1", "0.004"))
    record(planned, on_the_exchange("0.007"), trade("T2", "0.003"))
    record(planned, on_the_exchange("0.007", OrderStatus.CANCELED))
    events = [each.message() for each in stream_list(aggregate_type="bot", aggregate_id=planned.run.bot_id)][-5:]
    assert [type(each) for each in events] == [
        BotTradeExecuted,
        BotOrderPartlyFilled,
        BotTradeExecuted,
        BotOrderPartlyFilled,
        BotOrderEnded,
    ]
    assert [each.filled_volume for each in events if isinstance(each, OrderFacts)] == [
        Decimal("0.004"),
        Decimal("0.007"),
        Decimal("0.007"),
    ]
    ended = events[-1]
    assert isinstance(ended, BotOrderEnded)
    assert (ended.state, ended.code, ended.ended_at) == ("canceled", "User requested", NOW)


def test_an_answer_without_news_is_not_told(planned: Planned) -> None:
    opened(planned)
    before = types(planned)
    record(planned, on_the_exchange("0"))
    record(planned, on_the_exchange("0"))
    assert types(planned) == before


def test_a_refused_order_tells_the_exchanges_words(planned: Planned) -> None:
    mark_sending(planned)
    intent_end(
        intent_id=planned.intent.id,
        state=IntentState.REJECTED,
        code="insufficient_funds",
        evidence={"answer": "EOrder:Insufficient funds"},
        now=NOW,
    )
    ended = told(planned)[-1]
    assert isinstance(ended, BotOrderEnded)
    assert (ended.state, ended.code) == ("rejected", "insufficient_funds")
    assert ended.evidence[0]["answer"] == "EOrder:Insufficient funds"


class TestDoubt:
    def unknown(self, planned: Planned) -> None:
        mark_sending(planned)
        intent_mark_unknown(intent_id=planned.intent.id, code="timeout", evidence={"answer": ""}, now=NOW)

    def test_each_look_is_told_with_what_it_saw(self, planned: Planned) -> None:
        self.unknown(planned)
        later = NOW + timedelta(seconds=5)
        intent_mark_unknown(intent_id=planned.intent.id, code="not_found_yet", evidence={"found": False}, now=later)
        assert types(planned)[-2:] == [BotOrderUnknown, BotOrderUnknown]
        assert [each.code for each in told(planned)[-2:]] == ["timeout", "not_found_yet"]
        # The evidence of this step, not all there is.
        assert [entry["found"] for entry in told(planned)[-1].evidence] == [False]

    def test_its_end_by_evidence_is_told_before_the_state_that_follows(self, planned: Planned) -> None:
        self.unknown(planned)
        intent_accepted(intent_id=planned.intent.id, exchange_order_id="OABC", source="ClosedOrders", now=NOW)
        assert types(planned)[-2:] == [BotOrderResolved, BotOrderOpened]
        resolved = told(planned)[-2]
        assert isinstance(resolved, BotOrderResolved)
        assert (resolved.was, resolved.state, resolved.operator) == ("unknown", "open", "")

    def test_an_order_that_needs_a_person_says_why_and_is_not_resolved_by_that(self, planned: Planned) -> None:
        self.unknown(planned)
        intent_needs_human(
            intent_id=planned.intent.id, code="unattributed_activity", evidence={"unattributed": ["OX"]}, now=NOW
        )
        assert BotOrderResolved not in types(planned)
        asks = told(planned)[-1]
        assert isinstance(asks, BotOrderNeedsPerson)
        assert (asks.code, asks.evidence[0]["unattributed"]) == ("unattributed_activity", ["OX"])

    def test_a_contradiction_after_the_end_is_told_as_evidence(self, planned: Planned) -> None:
        mark_sending(planned)
        intent_end(
            intent_id=planned.intent.id,
            state=IntentState.NOT_PLACED,
            code="proved_absent",
            evidence={"grade": "B"},
            now=NOW,
        )
        intent_mark_conflict(intent_id=planned.intent.id, exchange_order_id="OXYZ", because="It is there.", now=NOW)
        last = told(planned)[-1]
        assert (type(last), last.state) == (BotOrderEnded, "not_placed")
        assert last.evidence[0]["txid"] == "OXYZ"


def test_the_steps_of_an_order_are_in_their_order_on_the_bots_stream(planned: Planned) -> None:
    opened(planned)
    record(planned, on_the_exchange("0.01", OrderStatus.CLOSED), trade("T1", "0.01"))

    def seqs() -> Iterator[int]:
        for event in stream_list(aggregate_type="bot", aggregate_id=planned.run.bot_id):
            yield event.aggregate_seq

    assert all(later == earlier + 1 for earlier, later in pairwise(seqs()))
    assert [each.state for each in told(planned)] == ["planned", "sending", "open", "filled"]
