"""python-kraken-sdk, unchanged, over HTTP."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test.testcases import LiveServerThread
from kraken.exceptions import (
    KrakenInsufficientFundsError,
    KrakenInvalidAPIKeyError,
    KrakenInvalidNonceError,
    KrakenInvalidSignatureError,
    KrakenOrderMinimumNotMetError,
    KrakenPermissionDeniedError,
    KrakenTickSizeInvalidCheckError,
    KrakenUnknownMethodError,
    KrakenUnknownOrderError,
)
from kraken.spot import Market, Trade, User

from apps.paper.models import ApiKey
from apps.paper.services.accounts import OpenedAccount
from tests.integration.paper.conftest import OpenAccount, Replaying
from tests.unit.paper.builders import COIN, FIRST_TIME, HOUR, flat

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("paper_exchange.urls")]

# Every second candle dips from 1000.0 to 980.0.
DIPS = [flat(10_000) if index % 2 else (10_000, 10_000, 9_800, 10_000, 300 * COIN, 60) for index in range(2_000)]


class Sdk:
    """The SDK's classes on the test server. They share one client, which counts the nonces."""

    def __init__(self, url: str, opened: OpenedAccount) -> None:
        secrets = {"key": opened.api_key.key, "secret": opened.api_secret, "url": url}
        self.market: Any = Market(url=url)
        self.user: Any = User(**secrets)
        self.trade: Any = Trade(**secrets)
        last = time.time_ns()

        def nonce() -> str:
            nonlocal last
            last += 1
            return str(last)

        clients: list[Any] = [self.user, self.trade]
        for client in clients:
            client.get_nonce = nonce
            assert url == client.URL

    def buy(self, **changes: Any) -> Any:
        order = {"ordertype": "limit", "side": "buy", "pair": "XBTUSD", "volume": "0.5", "price": "990"}
        return self.trade.create_order(**{**order, **changes})


Connect = Callable[..., Sdk]


def _without_static_files(application: Any) -> Any:
    return application


@pytest.fixture
def url(_paper_environment: None, transactional_db: None) -> Iterator[str]:
    """A test server with the paper exchange's middleware."""
    server = LiveServerThread("127.0.0.1", _without_static_files)  # type: ignore[arg-type]
    server.daemon = True
    server.start()
    server.is_ready.wait()
    assert server.error is None
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()


@pytest.fixture
def connect(url: str, open_account: OpenAccount) -> Connect:
    return lambda **deposits: Sdk(url, open_account(**deposits))


@pytest.fixture
def sdk(market: Replaying, connect: Connect) -> Sdk:
    market([flat(10_000)] * 1_500, candle_seconds=3600)
    return connect(usd="10000", btc="1")


def test_it_reads_the_market(sdk: Sdk) -> None:
    bars = sdk.market.get_ohlc(pair="XBTUSD", interval=60)
    book = sdk.market.get_order_book(pair="XBTUSD", count=10)

    assert bars["XXBTZUSD"][0][0] == FIRST_TIME
    assert bars["last"] == FIRST_TIME
    assert sdk.market.get_ticker(pair=["XBTUSD"])["XXBTZUSD"]["c"][0] == "1000.00000"
    assert [len(book["XXBTZUSD"]["asks"]), len(book["XXBTZUSD"]["bids"])] == [10, 10]
    assert sdk.market.get_system_status()["status"] == "online"
    assert "XXBTZUSD" in sdk.market.get_recent_trades(pair="XBTUSD")
    assert "XXBTZUSD" in sdk.market.get_recent_spreads(pair="XBTUSD")
    assert sdk.market.get_asset_pairs(pair="XBTUSD")["XXBTZUSD"]["ordermin"] == "0.00005"
    assert sdk.market.get_assets(assets="XBT")["XXBT"]["altname"] == "XBT"


def test_it_places_finds_amends_and_cancels_an_order(sdk: Sdk) -> None:
    (txid,) = sdk.buy(cl_ord_id="mine", timeinforce="GTC", oflags=["post", "fciq"])["txid"]
    found = sdk.user.get_open_orders(cl_ord_id="mine")["open"]
    amended = sdk.trade.amend_order(cl_ord_id="mine", limit_price="985")
    canceled = sdk.trade.cancel_order(cl_ord_id="mine")
    closed = sdk.user.get_closed_orders(cl_ord_id="mine")["closed"]

    assert found[txid]["status"] == "open"
    assert "amend_id" in amended
    assert canceled == {"count": 1}
    assert (closed[txid]["status"], closed[txid]["descr"]["price"]) == ("canceled", "985.0")


def test_it_trades_and_sees_what_that_did(sdk: Sdk) -> None:
    (txid,) = sdk.buy(ordertype="market", price=None)["txid"]

    order = sdk.user.get_orders_info(txid=txid, trades=True)[txid]
    trades = sdk.user.get_trades_history()["trades"]
    assert (order["status"], order["cost"], order["fee"]) == ("closed", "500.05000", "2.00020")
    assert list(trades) == order["trades"]
    assert sdk.user.get_trades_info(txid=order["trades"])[order["trades"][0]]["ordertxid"] == txid
    assert sdk.user.get_balances()["XXBT"] == {"balance": "1.5000000000", "hold_trade": "0.0000000000"}
    assert sdk.user.get_account_balance()["ZUSD"] == "9497.9498"
    assert sdk.user.get_balance(currency="XBT")["available_balance"] == 1.5
    assert sdk.user.get_trade_balance()["eb"] == "10997.9498"
    assert sdk.user.get_ledgers_info(type_="trade")["count"] == 2
    assert sdk.user.get_trade_volume(pair="XBTUSD", fee_schedule=True)["volume"] == "500.0500"


def test_a_resting_order_fills_while_the_market_plays(market: Replaying, connect: Connect) -> None:
    market(DIPS, candle_seconds=0.2)
    sdk = connect()
    (txid,) = sdk.buy()["txid"]

    deadline = time.monotonic() + 20
    while (order := sdk.user.get_orders_info(txid=txid)[txid])["status"] == "open" and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (order["status"], order["vol_exec"], order["price"]) == ("closed", "0.50000000", "990.0")
    assert order["fee"] == "1.23750"
    first, last = (sdk.market.get_ohlc(pair="XBTUSD", interval=60)["XXBTZUSD"][index][0] for index in (0, -1))
    assert last > first + HOUR


def test_it_cancels_everything_and_sets_the_dead_mans_switch(sdk: Sdk) -> None:
    for _ in range(2):
        sdk.buy()

    assert sdk.trade.cancel_all_orders_after_x(timeout=60)["triggerTime"]
    assert sdk.trade.cancel_all_orders() == {"count": 2}


def test_refusals_are_its_own_exceptions(sdk: Sdk) -> None:
    with pytest.raises(KrakenInsufficientFundsError):
        sdk.buy(volume="11")
    with pytest.raises(KrakenOrderMinimumNotMetError):
        sdk.buy(volume="0.00001")
    with pytest.raises(KrakenTickSizeInvalidCheckError):
        sdk.buy(price="990.01")
    with pytest.raises(KrakenUnknownOrderError):
        sdk.trade.cancel_order(txid="OAAAAA-BBBBB-CCCCCC")
    with pytest.raises(KrakenUnknownMethodError):
        sdk.user.request("POST", "/0/private/GetWebSocketsToken")


def test_validate_false_places_and_validate_true_does_not(sdk: Sdk) -> None:
    assert "txid" not in sdk.buy(validate=True)
    assert "txid" in sdk.buy(validate=False)


def test_a_wrong_key_secret_or_nonce_is_its_own_exception(sdk: Sdk) -> None:
    good = sdk.user
    wrong_key = User(key="nonsense", secret="bm90IGl0", url=good.URL)
    with pytest.raises(KrakenInvalidAPIKeyError):
        wrong_key.get_balances()

    wrong_secret = User(key=ApiKey.objects.get().key, secret="bm90IGl0", url=good.URL)
    with pytest.raises(KrakenInvalidSignatureError):
        wrong_secret.get_balances()

    good.get_nonce = lambda: "1"
    good.get_balances()
    with pytest.raises(KrakenInvalidNonceError):
        good.get_balances()


def test_a_key_without_the_right_is_denied(sdk: Sdk) -> None:
    ApiKey.objects.update(permissions=["query-funds"])

    assert sdk.user.get_balances()
    with pytest.raises(KrakenPermissionDeniedError):
        sdk.buy()
    assert sdk.user.request("POST", "/0/private/GetApiKeyInfo")["permissions"] == ["query-funds"]
