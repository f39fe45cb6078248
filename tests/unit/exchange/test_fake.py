"""The fake behaves like the exchange that it stands for."""

from decimal import Decimal

import pytest

from apps.core.terms import Side
from apps.exchange.errors import ExchangeUnavailable, NotSent, OutcomeUnknown
from apps.exchange.port import Exchange
from apps.exchange.types import Accepted, Cancellation, OrderStatus, TimeInForce
from tests.factories.exchange import OrderRequestFactory, market_order
from tests.factories.fake_account import INSUFFICIENT_FUNDS
from tests.factories.fake_exchange import FakeExchange, SubmitFault, raising

D = Decimal


@pytest.fixture
def fake() -> FakeExchange:
    return FakeExchange(price=D(50000), balances={"ZUSD": D(1000)}, fee_rate=D("0.01"))


def test_it_is_an_exchange(fake: FakeExchange) -> None:
    exchange: Exchange = fake
    assert exchange.mode == "paper"


def test_a_market_order_is_filled_at_once_and_moves_the_balances(fake: FakeExchange) -> None:
    answer = fake.submit(market_order(volume=D("0.01"), client_order_id="a"))

    assert isinstance(answer, Accepted)
    order = fake.orders([answer.exchange_order_id])[answer.exchange_order_id]
    assert (order.status, order.cost, order.fee, order.average_price) == (OrderStatus.CLOSED, D(500), D(5), D(50000))
    assert {asset: balance.total for asset, balance in fake.balances().items()} == {"XXBT": D("0.01"), "ZUSD": D(495)}
    assert fake.trades_of(order.trade_ids)[order.trade_ids[0]].exchange_order_id == answer.exchange_order_id


def test_a_limit_order_rests_holds_funds_and_fills_when_the_market_comes(fake: FakeExchange) -> None:
    fake.submit(OrderRequestFactory.create(volume=D("0.01"), price=D(40000), client_order_id="a"))
    assert fake.balances()["ZUSD"].free == 1000 - 404

    fake.set_price(D(40001))
    assert len(fake.open_orders("a")) == 1
    fake.set_price(D(39000))

    (order,) = fake.closed_orders("a")
    assert (order.status, order.average_price) == (OrderStatus.CLOSED, D(40000))
    assert fake.balances()["ZUSD"].free == 1000 - 404


def test_more_than_the_balance_is_refused(fake: FakeExchange) -> None:
    assert fake.submit(market_order(volume=D("0.02"))) == INSUFFICIENT_FUNDS
    assert fake.submit(market_order(side=Side.SELL, volume=D("0.001"))) == INSUFFICIENT_FUNDS
    assert fake.placed == []


def test_it_loses_the_answer_before_or_after_accepting(fake: FakeExchange) -> None:
    fake.next_submits.extend([SubmitFault.LOST_BEFORE, SubmitFault.LOST_AFTER, SubmitFault.NOT_SENT])
    for name, error in (("before", OutcomeUnknown), ("after", OutcomeUnknown), ("never", NotSent)):
        with pytest.raises(error):
            fake.submit(market_order(client_order_id=name))

    assert [order.client_order_id for order in fake.placed] == ["after"]
    assert [order.client_order_id for order in fake.submitted] == ["before", "after"]


def test_a_hidden_order_is_seen_nowhere_until_it_is_revealed(fake: FakeExchange) -> None:
    answer = fake.submit(market_order(client_order_id="a"))
    assert isinstance(answer, Accepted)
    fake.hide(answer.exchange_order_id)
    assert (fake.closed_orders("a"), fake.orders([answer.exchange_order_id]), fake.trades_history()) == ([], {}, [])

    fake.reveal(answer.exchange_order_id)
    assert len(fake.closed_orders("a")) == len(fake.trades_history()) == 1


def test_a_partial_fill_then_a_cancellation_leaves_the_fill(fake: FakeExchange) -> None:
    answer = fake.submit(OrderRequestFactory.create(volume=D("0.01"), price=D(40000)))
    assert isinstance(answer, Accepted)
    fake.fill(answer.exchange_order_id, D("0.004"))

    assert fake.cancel(exchange_order_id=answer.exchange_order_id) == Cancellation(1)
    assert fake.cancel(exchange_order_id=answer.exchange_order_id) == Cancellation(0)
    order = fake.orders([answer.exchange_order_id])[answer.exchange_order_id]
    assert (order.status, order.executed_volume) == (OrderStatus.CANCELED, D("0.004"))


def test_an_open_client_order_id_cannot_be_used_again_a_closed_one_can(fake: FakeExchange) -> None:
    fake.submit(OrderRequestFactory.create(price=D(40000), client_order_id="a"))
    with pytest.raises(OutcomeUnknown):
        fake.submit(OrderRequestFactory.create(price=D(40000), client_order_id="a"))

    fake.cancel(client_order_id="a")
    assert isinstance(fake.submit(OrderRequestFactory.create(price=D(40000), client_order_id="a")), Accepted)


def test_post_only_never_takes_and_ioc_never_rests(fake: FakeExchange) -> None:
    fake.submit(OrderRequestFactory.create(price=D(60000), post_only=True))
    fake.submit(OrderRequestFactory.create(price=D(40000), time_in_force=TimeInForce.IOC))

    assert [order.status for order in fake.placed] == [OrderStatus.CANCELED] * 2
    assert fake.trades_history() == []


def test_reads_fail_as_told_and_then_work_again(fake: FakeExchange) -> None:
    fake.fail_reads(ExchangeUnavailable("down"))

    with pytest.raises(ExchangeUnavailable):
        fake.balances()
    assert fake.balances()["ZUSD"].total == 1000


def test_a_hook_before_a_call_sees_its_arguments_and_may_raise(fake: FakeExchange) -> None:
    seen: list[str] = []
    fake.on("ticker", before=seen.append)
    fake.on("balances", before=raising(ExchangeUnavailable("down")))

    assert fake.ticker("XBTUSD").last == 50000
    assert seen == ["XBTUSD"]
    with pytest.raises(ExchangeUnavailable):
        fake.balances()
    fake.off("balances")
    assert fake.balances()["ZUSD"].total == 1000
    assert fake.calls == ["ticker", "balances", "balances"]


def test_a_hook_instead_of_a_call_leaves_the_account_as_it_is(fake: FakeExchange) -> None:
    fake.submit(OrderRequestFactory.create(price=D(40000), client_order_id="a"))
    fake.on("cancel", instead=lambda **_: Cancellation(0))

    assert fake.cancel(client_order_id="a") == Cancellation(0)
    assert len(fake.open_orders("a")) == 1


def test_a_hook_after_a_call_changes_the_answer_only(fake: FakeExchange) -> None:
    answer = fake.submit(market_order(client_order_id="a"))
    assert isinstance(answer, Accepted)
    fake.on("orders", after=lambda found: {})

    assert fake.orders([answer.exchange_order_id]) == {}
    assert [order.client_order_id for order in fake.placed] == ["a"]
