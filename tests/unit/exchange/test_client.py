"""What we rely on in the SDK, and what we changed of it."""

import gc
from weakref import ref

import pytest
import requests
from kraken.spot import Market, SpotClient

from apps.core.terms import Mode
from apps.exchange.errors import UnsafeExchangeUrl
from apps.exchange.kraken.client import CallPolicy, KrakenClient
from apps.exchange.kraken.exchange import KrakenExchange
from tests.factories.exchange_stub import KEY, SECRET, ExchangeStub, result


def _client(url: str, *, is_internal: bool = False, **more: str) -> KrakenClient:
    policy = CallPolicy(connect_seconds=0.5, read_seconds=0.5)
    return KrakenClient(url=url, policy=policy, is_internal=is_internal, **more)


def test_the_address_is_the_clients_own_and_leaks_into_no_other(stub: ExchangeStub) -> None:
    client = _client(stub.url)

    assert stub.url == client.URL
    assert SpotClient.URL == KrakenClient.URL == Market().URL == "https://api.kraken.com"


def test_no_address_is_refused_because_the_sdk_would_take_krakens() -> None:
    with pytest.raises(UnsafeExchangeUrl):
        _client("")


def test_a_private_call_outside_a_signing_turn_is_impossible(stub: ExchangeStub) -> None:
    client = _client(stub.url, api_key=KEY, api_secret=SECRET)

    with pytest.raises(AssertionError, match="signing turn"):
        client.request("POST", "/0/private/BalanceEx")
    assert stub.received == []


def test_a_nonce_signs_one_request(stub: ExchangeStub) -> None:
    stub.reply("BalanceEx", result({}))
    client = _client(stub.url, api_key=KEY, api_secret=SECRET)
    params = {"asset": "ZUSD"}

    client.post_signed("/0/private/BalanceEx", params, nonce=7)

    assert params == {"asset": "ZUSD"}
    assert stub.received[0].params == {"asset": "ZUSD", "nonce": "7"}
    with pytest.raises(AssertionError, match="signing turn"):
        client.get_nonce()


def test_an_exchange_that_is_let_go_closes_its_connections_at_once(stub: ExchangeStub) -> None:
    stub.reply("Time", result({"unixtime": 1}))
    exchange = KrakenExchange(mode=Mode.PAPER, url=stub.url, api_key=KEY, api_secret=SECRET)
    exchange.server_time()
    client = ref(exchange._transport._client)

    gc.disable()
    try:
        del exchange
        assert client() is None
    finally:
        gc.enable()


def test_a_proxy_in_the_environment_is_not_asked_for_loopback(
    stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    stub.reply("Time", result({"unixtime": 1}))

    assert _client(stub.url).get("/0/public/Time", {}).status_code == 200


@pytest.mark.parametrize(
    ("url", "is_internal", "asks"), [("http://paper:8010", True, False), ("https://api.kraken.com", False, True)]
)
def test_proxies_of_the_environment_are_for_the_outside(url: str, is_internal: bool, asks: bool) -> None:
    session: requests.Session = _client(url, is_internal=is_internal)._SpotClient__session  # type: ignore[attr-defined]

    assert session.trust_env is asks


def test_a_renewed_session_keeps_its_rules(stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.reply("Time", result({"unixtime": 1}))
    client = _client(stub.url)
    first = client._SpotClient__session  # type: ignore[attr-defined]
    monkeypatch.setattr(client, "MAX_SESSION_AGE", -1)

    client.get("/0/public/Time", {})

    session: requests.Session = client._SpotClient__session  # type: ignore[attr-defined]
    assert session is not first
    assert session.trust_env is False
    assert session.max_redirects == 0


def test_a_connection_that_rested_is_not_used_for_a_placement(
    stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.reply("AddOrder", result({}))
    client = _client(stub.url, api_key=KEY, api_secret=SECRET)
    sessions = []
    for is_placement, idle in ((True, 0.0), (True, 0.0), (True, 5.0), (False, 5.0)):
        client._used_at -= idle
        if is_placement:
            client.post_placement("/0/private/AddOrder", {}, nonce=1, leave_within=2)
        else:
            client.post_signed("/0/private/AddOrder", {}, nonce=1)
        sessions.append(client._SpotClient__session)  # type: ignore[attr-defined]

    assert sessions[0] is sessions[1]
    assert sessions[1] is not sessions[2]
    assert sessions[2] is sessions[3]


def test_a_secret_is_in_no_representation(stub: ExchangeStub) -> None:
    assert SECRET not in repr(_client(stub.url, api_key=KEY, api_secret=SECRET))
