"""The adapter against the platform's own exchange, over HTTP: every call of the port, and a whole trade."""

import threading
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.core.terms import Mode, Side
from apps.exchange import errors as failures
from apps.exchange.clock import offset_measure
from apps.exchange.factory import exchange_for, market_data_for
from apps.exchange.paper_account import paper_account_open
from apps.exchange.port import Exchange
from apps.exchange.types import Accepted, Cancellation, OrderRequest, OrderStatus, OrderType, Rejected, RejectionKind
from apps.vault.encryption import Login
from apps.vault.selectors import credential_open
from apps.vault.services.connect import credential_connect
from apps.vault.services.keys import credential_balances
from apps.vault.services.verify import credential_verify

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("paper_exchange")]

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    account = paper_account_open(owner_id=uuid4(), label="test", deposits={"ZUSD": D(100_000)})
    return exchange_for(Login(Mode.PAPER, account.api_key, account.api_secret))


def _order(**fields: object) -> OrderRequest:
    facts: dict[str, object] = {
        "pair": "XBTUSD",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "volume": D("0.01"),
        "client_order_id": f"mk{uuid4().hex[:12]}",
        "deadline": timezone.now() + timedelta(seconds=5),
    }
    return OrderRequest(**{**facts, **fields})  # type: ignore[arg-type]


def test_market_data_can_be_read_without_a_key() -> None:
    market = market_data_for(Mode.PAPER)

    instrument = market.instrument("XBTUSD")
    assert (instrument.code, instrument.symbol, instrument.base, instrument.quote) == (
        "XXBTZUSD",
        "BTC/USD",
        "XXBT",
        "ZUSD",
    )
    assert {listed.altname for listed in market.instruments()} >= {"XBTUSD"}
    assert market.instrument("BTC/USD").altname == "XBTUSD"
    status = market.server_status()
    assert (status.status, status.is_synthetic) == ("online", True)
    ticker = market.ticker("BTC/USD")
    assert 0 < ticker.bid < ticker.ask
    book = market.order_book("XBTUSD", 5)
    assert len(book.asks) == len(book.bids) == 5
    assert book.bids[0].price > book.bids[1].price
    assert book.asks[0].price < book.asks[1].price


def test_candles_are_closed_ones_and_since_leaves_out_the_older() -> None:
    market = market_data_for(Mode.PAPER)

    ohlc = market.ohlc("XBTUSD", 60)

    times = [candle.opened_at for candle in ohlc.closed]
    assert len(times) > 100
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(hours=1)}
    assert ohlc.forming is not None
    assert ohlc.forming.opened_at == times[-1] + timedelta(hours=1)
    newer = market.ohlc("XBTUSD", 60, since=times[-3]).closed
    assert newer[-1].opened_at >= times[-1]
    assert len(newer) <= 3


def test_what_the_market_does_not_have_is_said() -> None:
    market = market_data_for(Mode.PAPER)

    with pytest.raises(failures.UnknownPair):
        market.ticker("NOPEUSD")
    with pytest.raises(failures.IntervalNotOffered, match="There are no candles of 7 minutes"):
        market.ohlc("XBTUSD", 7)


def test_a_market_order_is_placed_filled_and_accounted_for(exchange: Exchange) -> None:
    began = timezone.now() - timedelta(seconds=1)
    order = _order()

    answer = exchange.submit(order)

    assert isinstance(answer, Accepted)
    placed = exchange.orders([answer.exchange_order_id])[answer.exchange_order_id]
    assert (placed.status, placed.client_order_id, placed.executed_volume) == (
        OrderStatus.CLOSED,
        order.client_order_id,
        D("0.01"),
    )
    assert exchange.closed_orders(client_order_id=order.client_order_id, start=began) == [placed]
    assert exchange.open_orders() == []
    trades = exchange.trades_of(placed.trade_ids)
    assert sum(trade.volume for trade in trades.values()) == D("0.01")
    assert sum(trade.cost for trade in trades.values()) == placed.cost
    assert sum(trade.fee for trade in trades.values()) == placed.fee
    assert exchange.trades_history(start=began) == list(trades.values())
    balances = exchange.balances()
    assert balances["XXBT"].total == D("0.01")
    assert balances["ZUSD"].total == (D(100_000) - placed.cost - placed.fee).quantize(
        D("0.0001"), rounding="ROUND_DOWN"
    )


def test_a_limit_order_rests_holds_funds_and_is_cancelled(exchange: Exchange) -> None:
    instrument = exchange.instrument("XBTUSD")
    price = instrument.floor_price(exchange.ticker("XBTUSD").bid / 2)
    order = _order(order_type=OrderType.LIMIT, price=price, post_only=True)
    instrument.check(order)

    answer = exchange.submit(order)

    assert isinstance(answer, Accepted)
    (resting,) = exchange.open_orders(client_order_id=order.client_order_id)
    assert (resting.exchange_order_id, resting.status, resting.limit_price) == (
        answer.exchange_order_id,
        OrderStatus.OPEN,
        price,
    )
    assert exchange.balances()["ZUSD"].held >= price * D("0.01")
    assert exchange.cancel(client_order_id=order.client_order_id) == Cancellation(1)
    assert exchange.cancel(client_order_id=order.client_order_id) == Cancellation(0)
    assert exchange.cancel(exchange_order_id=answer.exchange_order_id) == Cancellation(0)
    assert exchange.orders([answer.exchange_order_id])[answer.exchange_order_id].status is OrderStatus.CANCELED
    assert exchange.balances()["ZUSD"].free == D(100_000)


def test_the_same_client_order_id_twice_must_be_looked_up(exchange: Exchange) -> None:
    order = _order(order_type=OrderType.LIMIT, price=D(100))
    assert isinstance(exchange.submit(order), Accepted)

    with pytest.raises(failures.OutcomeUnknown):
        exchange.submit(order)
    assert len(exchange.open_orders(client_order_id=order.client_order_id)) == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"volume": D(1000)}, "insufficient_funds"),
        ({"volume": D("0.00001")}, "order_minimum"),
        ({"order_type": OrderType.LIMIT, "price": D("100.05")}, "tick_size"),
        ({"order_type": OrderType.LIMIT, "price": D(100), "volume": D("0.0001")}, "cost_minimum"),
        ({"pair": "NOPEUSD"}, "unknown_pair"),
    ],
)
def test_refusals_are_definitive_and_place_nothing(exchange: Exchange, fields: dict[str, object], code: str) -> None:
    answer = exchange.submit(_order(**fields))

    assert isinstance(answer, Rejected)
    assert (answer.kind, answer.code) == (RejectionKind.FINAL, code)
    assert (exchange.open_orders(), exchange.closed_orders()) == ([], [])


@pytest.mark.parametrize("seconds_left", [-3, 1, 2.9])
def test_an_order_whose_deadline_is_too_near_is_not_sent(exchange: Exchange, seconds_left: float) -> None:
    with pytest.raises(failures.NotSent):
        exchange.submit(_order(deadline=timezone.now() + timedelta(seconds=seconds_left)))

    assert (exchange.open_orders(), exchange.closed_orders()) == ([], [])


def test_its_clock_is_ours() -> None:
    offset = offset_measure(market_data_for(Mode.PAPER), clock=timezone.now)

    assert offset.low <= 0 <= offset.high


def test_ids_that_do_not_exist_are_missing_among_those_that_do(exchange: Exchange) -> None:
    answer = exchange.submit(_order())
    assert isinstance(answer, Accepted)

    found = exchange.orders(["OAAAAA-BBBBB-CCCCCC", answer.exchange_order_id, "not an id"])
    trades = exchange.trades_of([*found[answer.exchange_order_id].trade_ids, "TAAAAA-BBBBB-CCCCCC"])

    assert set(found) == {answer.exchange_order_id}
    assert set(trades) == set(found[answer.exchange_order_id].trade_ids)


def test_the_key_tells_its_rights_and_the_account_its_fees(exchange: Exchange) -> None:
    key = exchange.key_info()
    assert key.permissions is not None
    assert {"modify-trades", "close-trades", "query-funds"} <= key.permissions
    assert not any("withdraw" in right for right in key.permissions)
    assert (key.nonce_window, key.expires_at) == (0, None)

    fees = exchange.trade_volume("XBTUSD")
    assert D(0) < fees.maker < fees.taker < D("0.01")


def test_a_wrong_secret_and_an_unknown_key_are_told_apart_from_silence() -> None:
    account = paper_account_open(owner_id=uuid4(), label="test", deposits={})
    other = paper_account_open(owner_id=uuid4(), label="test", deposits={})

    for login in (
        Login(Mode.PAPER, account.api_key, other.api_secret),
        Login(Mode.PAPER, "unknown", account.api_secret),
    ):
        with pytest.raises(failures.KeyInvalid):
            exchange_for(login).balances()


def test_many_threads_trade_with_one_key_and_no_call_is_refused_for_its_nonce() -> None:
    account = paper_account_open(owner_id=uuid4(), label="test", deposits={"ZUSD": D(100_000)})
    login = Login(Mode.PAPER, account.api_key, account.api_secret)
    answers: list[object] = []

    def trade() -> None:
        try:
            exchange = exchange_for(login)
            answers.extend(exchange.submit(_order(volume=D("0.001"))) for _ in range(5))
        except BaseException as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([answer for answer in answers if isinstance(answer, Accepted)]) == len(answers) == 20
    assert exchange_for(login).balances()["XXBT"].total == D("0.02")


def test_a_paper_account_is_connected_tested_and_opened_by_the_vault() -> None:
    user_id = uuid4()

    credential = credential_connect(user_id=user_id, label="Play", mode=Mode.PAPER, now=timezone.now())

    assert credential.state == "active"
    assert "modify-trades" in credential.permissions
    (balance,) = credential_balances(credential_id=credential.id, user_id=user_id, now=timezone.now())
    assert (balance.asset, balance.free) == ("ZUSD", D(10_000))
    assert credential_verify(credential_id=credential.id, user_id=user_id, now=timezone.now()).state == "active"
    bought = exchange_for(credential_open(credential_id=credential.id, user_id=user_id)).submit(_order())
    assert isinstance(bought, Accepted)


def test_the_same_owner_and_label_open_one_account() -> None:
    owner_id = uuid4()

    first, second = (paper_account_open(owner_id=owner_id, label="a", deposits={"ZUSD": D(5)}) for _ in range(2))

    assert (first.account_id, first.api_key) == (second.account_id, second.api_key)


def test_an_account_with_an_unknown_asset_is_refused() -> None:
    with pytest.raises(failures.AccountNotOpened):
        paper_account_open(owner_id=uuid4(), label="a", deposits={"GOLD": D(5)})


def test_a_paper_exchange_that_is_away_is_unavailable(settings: Settings) -> None:
    environment = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": "http://127.0.0.1:9"})
    settings.ENVIRONMENT = environment

    with pytest.raises(failures.ExchangeUnavailable):
        paper_account_open(owner_id=uuid4(), label="a", deposits={})
