"""A placement is written to the socket once at most, and its answer is never taken for more than it says."""

from datetime import timedelta
from decimal import Decimal

import pytest
import requests
from urllib3.connection import HTTPConnection

from apps.core.terms import Mode, Side
from apps.exchange.errors import NotSent, OutcomeUnknown
from apps.exchange.kraken import late_connections
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from apps.exchange.kraken.transport import wire_time
from apps.exchange.types import Accepted, Rejected, RejectionKind, TimeInForce
from tests.factories import exchange_stub as on_the_wire
from tests.factories.exchange import OrderRequestFactory, market_order
from tests.factories.exchange_stub import KEY, SECRET, ExchangeStub, Reply, errors, result
from tests.unit.exchange.conftest import NOW

PLACED = result({"descr": {"order": "buy 0.00100000 XBTUSD @ limit 50000.0"}, "txid": ["OABCDE-FGHIJ-KLMNOP"]})


def test_an_accepted_order_has_its_txid(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", PLACED)

    assert exchange.submit(OrderRequestFactory.create()) == Accepted(
        "OABCDE-FGHIJ-KLMNOP", "buy 0.00100000 XBTUSD @ limit 50000.0"
    )


def test_a_warning_does_not_make_a_success_a_failure(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", result({"txid": ["OABCDE-FGHIJ-KLMNOP"]}, "WDatabase:No change"))

    answer = exchange.submit(OrderRequestFactory.create())

    assert isinstance(answer, Accepted)
    assert answer.warnings == ("WDatabase:No change",)


def test_the_request_is_signed_and_in_fixed_point(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", PLACED)

    exchange.submit(OrderRequestFactory.create(volume=Decimal("1E-5"), price=Decimal("1E-7"), client_order_id="mk-1"))

    (request,) = stub.calls("AddOrder")
    assert request.is_signed_with(SECRET)
    assert request.headers["API-Key"] == KEY
    nonce = request.params.pop("nonce")
    assert nonce == "1700000000000000000"
    assert {name: value for name, value in request.params.items() if name != "nonce"} == {
        "pair": "XBTUSD",
        "type": "buy",
        "ordertype": "limit",
        "volume": "0.00001",
        "price": "0.0000001",
        "oflags": "fciq",
        "timeinforce": "GTC",
        "cl_ord_id": "mk-1",
        "deadline": wire_time(NOW + timedelta(seconds=5)),
    }


def test_the_deadline_on_the_wire_is_never_later_than_the_orders_own(
    exchange: KrakenExchange, stub: ExchangeStub
) -> None:
    stub.reply("AddOrder", PLACED)

    exchange.submit(OrderRequestFactory.create(deadline=NOW + timedelta(seconds=4.5)))

    assert stub.calls("AddOrder")[0].params["deadline"] == wire_time(NOW + timedelta(seconds=4.5))


def test_an_order_with_less_than_three_seconds_left_in_its_turn_is_not_sent(
    exchange: KrakenExchange, stub: ExchangeStub
) -> None:
    stub.reply("AddOrder", PLACED)

    with pytest.raises(NotSent):
        exchange.submit(OrderRequestFactory.create(deadline=NOW + timedelta(seconds=2.999)))

    assert stub.received == []


@pytest.mark.parametrize("seconds", [2.1, 60])
def test_an_order_whose_connection_took_too_long_is_not_sent(
    exchange: KrakenExchange, stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """The connection stands, and not a byte of the request goes over it."""
    stub.reply("AddOrder", PLACED)
    passed = 0.0
    monkeypatch.setattr(late_connections, "monotonic", lambda: passed)
    connect = HTTPConnection.connect

    def slowly(self: HTTPConnection) -> None:
        nonlocal passed
        connect(self)
        passed += seconds

    monkeypatch.setattr(HTTPConnection, "connect", slowly)

    with pytest.raises(NotSent):
        exchange.submit(OrderRequestFactory.create())

    assert passed == seconds
    assert stub.received == []


def test_an_order_whose_connection_took_less_is_sent(
    exchange: KrakenExchange, stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.reply("AddOrder", PLACED)
    times = iter([0.0, 0.0, 1.9])
    monkeypatch.setattr(late_connections, "monotonic", lambda: next(times, 1.9))

    assert isinstance(exchange.submit(OrderRequestFactory.create()), Accepted)
    assert len(stub.received) == 1


@pytest.mark.parametrize("reply", [on_the_wire.DROPPED, on_the_wire.NOT_JSON, errors("EOrder:New"), result({})])
def test_doubt_says_until_when_the_exchange_may_accept_the_order(
    exchange: KrakenExchange, stub: ExchangeStub, reply: Reply
) -> None:
    stub.reply("AddOrder", reply)

    with pytest.raises(OutcomeUnknown) as caught:
        exchange.submit(OrderRequestFactory.create())

    assert caught.value.deadline == NOW + timedelta(seconds=5)


def test_a_market_order_has_neither_price_nor_time_in_force(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", PLACED)

    exchange.submit(market_order(side=Side.SELL))

    assert not {"price", "timeinforce"} & stub.calls("AddOrder")[0].params.keys()


def test_post_only_and_time_in_force_are_sent(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", PLACED)

    exchange.submit(OrderRequestFactory.create(post_only=True))
    exchange.submit(OrderRequestFactory.create(time_in_force=TimeInForce.IOC))

    assert [(call.params["oflags"], call.params["timeinforce"]) for call in stub.calls("AddOrder")] == [
        ("post,fciq", "GTC"),
        ("fciq", "IOC"),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        on_the_wire.BAD_GATEWAY,
        on_the_wire.WEB_SERVER_DOWN,
        on_the_wire.NOT_JSON,
        on_the_wire.TRUNCATED,
        on_the_wire.NOT_AN_ENVELOPE,
        on_the_wire.REDIRECT,
        on_the_wire.DROPPED,
        on_the_wire.SILENT,
        Reply(429, b"slow down", "text/plain"),
        Reply(403, b"<html>blocked</html>", "text/html"),
        result({}),
        result(None),
        result({"txid": []}),
        result({"txid": ["OABCDE-FGHIJ-KLMNOP", "OABCDE-FGHIJ-KLMNOQ"]}),
        errors("EService:Unavailable"),
        errors("EService:Busy"),
        errors("EService:Timeout"),
        errors("EService:Deadline elapsed"),
        errors("EGeneral:Internal error"),
        errors("EAPI:Invalid nonce"),
        errors("EGeneral:Too many requests"),
        errors("EOrder:Insufficient funds", "EService:Unavailable"),
        Reply(body=b'{"error":["EGeneral:Internal error"],"result":{"txid":["OABCDE-FGHIJ-KLMNOP"]}}'),
        Reply(body=b"[" * 100_000),
    ],
)
def test_a_doubtful_answer_leaves_the_outcome_unknown_and_is_not_sent_again(
    exchange: KrakenExchange, stub: ExchangeStub, reply: Reply
) -> None:
    stub.reply("AddOrder", reply)

    with pytest.raises(OutcomeUnknown) as caught:
        exchange.submit(OrderRequestFactory.create(client_order_id="mk-doubt"))

    assert caught.value.client_order_id == "mk-doubt"
    assert caught.value.retryable is False
    assert len(stub.received) == 1


@pytest.mark.parametrize(
    "text",
    ["EOrder:cl_ord_id already in use", "EGeneral:Invalid arguments:cl_ord_id", "EOrder:Duplicate cl_ord_id"],
)
def test_whatever_is_said_of_the_client_order_id_must_be_looked_up(
    exchange: KrakenExchange, stub: ExchangeStub, text: str
) -> None:
    stub.reply("AddOrder", errors(text))

    with pytest.raises(OutcomeUnknown) as caught:
        exchange.submit(OrderRequestFactory.create())

    assert caught.value.is_alarming is False
    assert len(stub.received) == 1


@pytest.mark.parametrize("text", ["EOrder:Something new", "EFuture:Who knows", "ETrade:Invalid request", "no letter"])
def test_words_that_are_not_known_leave_the_outcome_unknown_and_alarm(
    exchange: KrakenExchange, stub: ExchangeStub, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub.reply("AddOrder", errors(text))

    with pytest.raises(OutcomeUnknown) as caught:
        exchange.submit(OrderRequestFactory.create())

    assert caught.value.is_alarming is True
    assert len(stub.received) == 1
    assert [record.levelname for record in caplog.records if "placement_answer_unknown" in record.message] == ["ERROR"]


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("EOrder:Insufficient funds", RejectionKind.FINAL, "insufficient_funds"),
        ("EOrder:Order minimum not met", RejectionKind.FINAL, "order_minimum"),
        ("EOrder:Cost minimum not met", RejectionKind.FINAL, "cost_minimum"),
        ("EOrder:Tick size check failed", RejectionKind.FINAL, "tick_size"),
        ("EOrder:Invalid price", RejectionKind.FINAL, "invalid_price"),
        ("EOrder:Reduce only:No position exists", RejectionKind.FINAL, "margin_refused"),
        ("EOrder:Unknown position", RejectionKind.FINAL, "margin_refused"),
        ("EOrder:Margin allowance exceeded", RejectionKind.FINAL, "margin_refused"),
        ("EOrder:Orders limit exceeded", RejectionKind.FINAL, "too_many_orders"),
        ("EOrder:Post only order", RejectionKind.FINAL, "post_only"),
        ("EQuery:Unknown asset pair", RejectionKind.FINAL, "unknown_pair"),
        ("EOrder:Rate limit exceeded", RejectionKind.BACK_OFF, "rate_limited"),
        ("EOrder:Domain rate limit exceeded", RejectionKind.BACK_OFF, "rate_limited"),
        ("EAPI:Rate limit exceeded", RejectionKind.BACK_OFF, "rate_limited"),
        ("EService: Throttled: 4000000000", RejectionKind.BACK_OFF, "throttled"),
        ("EAPI:Invalid key", RejectionKind.KEY_INVALID, "key_invalid"),
        ("EAPI:Invalid signature", RejectionKind.KEY_INVALID, "key_invalid"),
        ("EGeneral:Temporary lockout", RejectionKind.KEY_LOCKED, "key_locked"),
        ("EGeneral:Permission denied", RejectionKind.PERMISSION, "permission_denied"),
        ("EAccount:Invalid permissions:USDT trading restricted for AT.", RejectionKind.PERMISSION, "permission_denied"),
        ("EGeneral:Invalid arguments:volume minimum not met", RejectionKind.FINAL, "order_minimum"),
        ("EGeneral:Invalid arguments:volume", RejectionKind.FINAL, "order_minimum"),
        ("EGeneral:Invalid arguments:volume2", RejectionKind.BUG, "invalid_arguments"),
        ("EGeneral:Invalid arguments", RejectionKind.BUG, "invalid_arguments"),
        ("EOrder:Scheduled orders limit exceeded", RejectionKind.FINAL, "too_many_orders"),
        ("EOrder:Insufficient initial margin", RejectionKind.FINAL, "margin_refused"),
        ("EOrder:Insufficient liquidity", RejectionKind.FINAL, "no_liquidity"),
        ("EOrder:Cannot open opposing position", RejectionKind.FINAL, "margin_refused"),
        ("EOrder:Trading agreement required", RejectionKind.ACCOUNT_LIMIT, "agreement_required"),
        ("EAuth:Rate limit exceeded", RejectionKind.ACCOUNT_LIMIT, "account_limited"),
        ("EService:Market in limit_only mode", RejectionKind.MARKET_CLOSED, "market_closed"),
        ("EGeneral:Invalid arguments:deadline", RejectionKind.BACK_OFF, "deadline_refused"),
        ("EAuth:Account temporary disabled", RejectionKind.ACCOUNT_LIMIT, "account_limited"),
        ("EBM:limit exceeded:CAL", RejectionKind.ACCOUNT_LIMIT, "account_limited"),
        ("EService:Market in cancel_only mode", RejectionKind.MARKET_CLOSED, "market_closed"),
        ("EService:Market in post_only mode", RejectionKind.MARKET_CLOSED, "market_closed"),
    ],
)
def test_a_definitive_refusal_says_what_to_do(
    exchange: KrakenExchange, stub: ExchangeStub, text: str, kind: RejectionKind, code: str
) -> None:
    stub.reply("AddOrder", errors(text))

    answer = exchange.submit(OrderRequestFactory.create())

    assert isinstance(answer, Rejected)
    assert (answer.kind, answer.code, answer.exchange_error) == (kind, code, text)
    assert len(stub.received) == 1


def test_the_sentence_names_the_argument_that_the_exchange_names(exchange: KrakenExchange, stub: ExchangeStub) -> None:
    stub.reply("AddOrder", errors("EGeneral:Invalid arguments:oflags"))

    answer = exchange.submit(OrderRequestFactory.create())

    assert isinstance(answer, Rejected)
    assert answer.message == "The exchange does not understand the request: its oflags is not valid."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("EOrder:Rate limit exceeded", 10), ("EService: Throttled: 4000000000", 300), ("EGeneral:Temporary lockout", 900)],
)
def test_a_limit_says_how_long_to_wait(exchange: KrakenExchange, stub: ExchangeStub, text: str, seconds: int) -> None:
    stub.reply("AddOrder", errors(text))

    answer = exchange.submit(OrderRequestFactory.create())

    assert isinstance(answer, Rejected)
    assert answer.retry_after_seconds == seconds


@pytest.mark.usefixtures("exchange")
def test_an_order_that_could_not_leave_was_not_sent() -> None:
    nobody_there = "http://127.0.0.1:9"
    unreachable = KrakenExchange(
        mode=Mode.PAPER, url=nobody_there, api_key=KEY, api_secret=SECRET, policy=CallPolicy(connect_seconds=0.5)
    )

    with pytest.raises(NotSent) as caught:
        unreachable.submit(OrderRequestFactory.create())

    assert caught.value.retryable is True


def test_an_interrupted_worker_does_not_know_the_outcome(
    exchange: KrakenExchange, stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimeLimitExceeded(Exception):
        pass

    def interrupted(*args: object, **kwargs: object) -> requests.Response:
        raise TimeLimitExceeded

    monkeypatch.setattr(requests.Session, "request", interrupted)

    with pytest.raises(OutcomeUnknown, match="TimeLimitExceeded"):
        exchange.submit(OrderRequestFactory.create())
