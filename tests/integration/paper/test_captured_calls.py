"""Captured requests of real clients (python-kraken-sdk, ccxt), byte for byte."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from django.test import Client

from tests.integration.paper.conftest import OpenAccount
from tests.integration.paper.wire import FORM, JSON, Wire

pytestmark = [pytest.mark.django_db, pytest.mark.urls("paper_exchange.urls")]

RECORDED_DATA = Path(
    os.environ.get("KRAKEN_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data" / "kraken"
)

OK = ""


@dataclass(frozen=True)
class Call:
    path: str
    body: str = ""
    content_type: str = FORM
    error: str | None = None  # None: whatever it is, it must be one of Kraken's refusals, not a failure of ours

    @property
    def nonce(self) -> str:
        if self.content_type == JSON:
            return str(json.loads(self.body)["nonce"])
        return parse_qs(self.body)["nonce"][0]


# Own transcriptions of what python-kraken-sdk 3.5.1 and ccxt 4.5.90 put on the wire, in the order of their nonces.
CALLS = [
    Call("/0/public/Ticker?pair=XBTUSD&pair=XXBTZUSD", error=OK),
    Call("/0/public/OHLC?pair=XBTUSD&interval=60&since=1", error=OK),
    Call("/0/public/Ticker?pair=XXBTZUSD%2CXBTUSD", error=OK),
    Call(
        "/0/private/AddOrder",
        "nonce=1795370482173&pair=XXBTZUSD&type=buy&ordertype=limit&volume=0.5&cl_ord_id=my-id&price=500&oflags=post",
        error=OK,
    ),
    Call("/0/private/TradeVolume", "nonce=1795370482189&pair=XXBTZUSD&fee-info=True", error=OK),
    Call(
        "/0/private/QueryOrders",
        "nonce=1795370482190&trades=True&txid=None&userref=my-id",
        error="EOrder:Invalid order",
    ),
    Call(
        "/0/private/AddOrder",
        "ordertype=limit&type=buy&pair=XBTUSD&volume=0.001&stptype=cancel-newest&starttm=0&validate=False"
        "&reduce_only=False&price=900&timeinforce=GTC&oflags=post%2Cfciq&cl_ord_id=abc&nonce=179536970025706016",
        error=OK,
    ),
    Call(
        "/0/private/AddOrder",
        "ordertype=limit&type=buy&pair=XBTUSD&volume=1e-05&stptype=cancel-newest&starttm=0&validate=True"
        "&reduce_only=False&price=1e-07&userref=5&expiretm=%2B30&nonce=179536970026066304",
        error="EOrder:Order minimum not met",
    ),
    Call("/0/private/AmendOrder", "cl_ord_id=abc&limit_price=901&nonce=179536970026232544", error=OK),
    Call("/0/private/OpenOrders", "trades=True&cl_ord_id=abc&nonce=179536970026299999", error=OK),
    Call("/0/private/CancelOrder", "cl_ord_id=abc&nonce=179536970026370688", error=OK),
    Call("/0/private/CancelAll", "nonce=179536970026491392", error=OK),
    Call("/0/private/CancelAllOrdersAfter", "timeout=60&nonce=179536970026618336", error=OK),
    Call(
        "/0/private/CancelOrderBatch",
        '{"orders": ["a", 5], "nonce": "179536970026752480"}',
        JSON,
        "EGeneral:Unknown method",
    ),
    Call(
        "/0/private/ClosedOrders",
        "trades=False&closetime=both&cl_ord_id=x&nonce=179536970027148640",
        error=OK,
    ),
    Call(
        "/0/private/QueryOrders",
        "txid=A&txid=B&trades=False&consolidate_taker=True&nonce=179536970027253696",
        error="EOrder:Invalid order",
    ),
    Call(
        "/0/private/TradesHistory",
        "type=all&trades=False&ledgers=False&consolidate_taker=True&nonce=179536970027346912",
        error=OK,
    ),
    Call("/0/private/TradeBalance", "asset=ZUSD&nonce=179536970027447840", error=OK),
    Call("/0/private/BalanceEx", "nonce=179536970027542848", error=OK),
    Call("/0/private/TradeVolume", "pair=XBTUSD&fee_schedule=true&nonce=179536970027640800", error=OK),
    Call("/0/private/Ledgers", "asset=all&aclass=currency&type=all&nonce=179536970027777120", error=OK),
    Call("/0/private/Balance", "x=1&nonce=179536970028691424", error=OK),
    Call(
        "/0/private/AddOrder",
        '{"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.001", "nonce": "179536970028700000"}',
        JSON,
        OK,
    ),
]


def _recorded_calls() -> list[Call]:
    """The captures, if they are stored beside this checkout."""
    captures = RECORDED_DATA / "wire" / "wire_python-kraken-sdk-3.5.1.jsonl"
    if not captures.is_file():
        return []
    records = [json.loads(line) for line in captures.read_text().splitlines()]
    return [
        Call(record["p"], record["b"], JSON if "json" in (record["ct"] or "") else FORM)
        for record in records
        if record["p"].startswith(("/0/private/", "/0/public/")) and record.get("sig_ok", True)
    ]


@pytest.mark.usefixtures("flat_market")
@pytest.mark.parametrize("calls", [calls for calls in (CALLS, _recorded_calls()) if calls], ids=len)
def test_captured_calls_are_understood_in_their_order(
    client: Client, open_account: OpenAccount, calls: list[Call]
) -> None:
    wire = Wire.of(client, open_account(usd="10000", btc="1"))
    for call in calls:
        if call.path.startswith("/0/public/"):
            errors = json.loads(client.get(call.path).content)["error"]
        else:
            method = call.path.removeprefix("/0/private/")
            errors = wire.raw(method, call.body, nonce=call.nonce, content_type=call.content_type)["error"]

        if call.error is not None:
            assert errors == ([call.error] if call.error else []), call
        # An error that the client knows, and not of the signature or nonce.
        assert not [error for error in errors if error.startswith(("EAPI", "EService", "EGeneral:Internal"))], call
