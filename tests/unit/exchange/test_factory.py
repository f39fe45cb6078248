"""Paper and live differ in address and credential, and neither reaches the other's."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from pytest_django import Settings

from apps.core.terms import Mode
from apps.exchange import factory
from apps.exchange.errors import UnsafeExchangeUrl
from apps.exchange.kraken.exchange import KrakenExchange

PAPER, LIVE = "http://127.0.0.1:8010", "https://api.kraken.com"


@dataclass
class Login:
    mode: Mode
    api_key: str = "key"
    api_secret: str = "c2VjcmV0"


def _configure(settings: Settings, paper: str = PAPER, live: str = LIVE) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": paper, "kraken_url": live})


def _address(exchange: object) -> str:
    assert isinstance(exchange, KrakenExchange)
    return exchange._transport._client.URL


@pytest.mark.parametrize(("mode", "url"), [("paper", PAPER), ("live", LIVE)])
def test_the_address_follows_from_the_mode_alone(settings: Settings, mode: Mode, url: str) -> None:
    _configure(settings)

    assert _address(factory.exchange_for(Login(mode))) == url
    assert _address(factory.market_data_for(mode)) == url


def test_paper_keeps_its_address_while_live_ones_are_opened(settings: Settings) -> None:
    _configure(settings)
    paper = factory.exchange_for(Login(Mode.PAPER))
    factory.exchange_for(Login(Mode.LIVE))

    assert _address(paper) == PAPER
    assert _address(factory.exchange_for(Login(Mode.PAPER))) == PAPER


def test_both_modes_are_served_by_the_same_code(settings: Settings) -> None:
    _configure(settings)

    assert type(factory.exchange_for(Login(Mode.PAPER))) is type(factory.exchange_for(Login(Mode.LIVE)))


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize(
    ("paper", "live"),
    [
        ("https://api.kraken.com", "https://api.kraken.com"),
        ("https://api.kraken.com:443/", "https://api.kraken.com"),
        ("https://api.kraken.com", "https://127.0.0.1:9"),
        ("https://futures.kraken.com", LIVE),
        ("https://API.KRAKEN.COM.", LIVE),
        ("", LIVE),
        (PAPER, ""),
        ("127.0.0.1:8010", LIVE),
        ("ftp://127.0.0.1:8010", LIVE),
        (f"{PAPER}/kraken", LIVE),
        (f"{PAPER}?a=b", LIVE),
        (PAPER, "http://api.kraken.com"),
        (PAPER, PAPER),
    ],
)
def test_addresses_that_could_mix_them_up_are_refused(settings: Settings, mode: Mode, paper: str, live: str) -> None:
    _configure(settings, paper, live)

    with pytest.raises(UnsafeExchangeUrl):
        factory.exchange_for(Login(mode))


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("MUCKARD_PAPER_EXCHANGE_URL", "https://api.kraken.com", "must not be the same"),
        ("MUCKARD_PAPER_EXCHANGE_URL", "https://futures.kraken.com", "names Kraken itself"),
        ("MUCKARD_KRAKEN_URL", "http://api.kraken.com", "must begin with https"),
        ("MUCKARD_MARKET_SOURCE", "Live", "MUCKARD_MARKET_SOURCE is not valid"),
        ("MUCKARD_KRAKEN_ULR", "https://api.kraken.com", "Did you mean MUCKARD_KRAKEN_URL?"),
    ],
)
def test_a_typo_keeps_the_bot_service_from_starting(variable: str, value: str, sentence: str) -> None:
    started = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**os.environ, "SERVICE": "bot", variable: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert started.returncode != 0
    assert sentence in started.stderr
    assert "Traceback" not in started.stderr


def test_a_mode_that_does_not_exist_has_no_address(settings: Settings) -> None:
    _configure(settings)

    with pytest.raises(UnsafeExchangeUrl):
        factory.exchange_for(Login("Live"))  # type: ignore[arg-type]
