"""Paper and live differ in address and credential, and neither reaches the other's."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass

import pytest
from django.apps import apps
from pytest_django import Settings

from apps.core.terms import Mode
from apps.exchange import addresses, factory
from apps.exchange.errors import LiveExchangeNotConfigured, UnsafeExchangeUrl
from apps.exchange.kraken.exchange import KrakenExchange
from service_common.environment import environment

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
        ("http://localhost:8010", "http://127.0.0.1:8010"),
        ("http://127.0.0.1:8010", "http://localhost:8010/"),
        ("http://127.0.0.2:8010", "http://127.0.0.1:8010"),
        ("http://[::1]:8010", "http://127.0.0.1:8010"),
        ("http://0.0.0.0:8010", "http://localhost:8010"),
        ("http://[::ffff:127.0.0.1]:8010", "http://localhost:8010"),
        ("http://127.1:8010", "http://localhost:8010"),
    ],
)
def test_addresses_that_could_mix_them_up_are_refused(settings: Settings, mode: Mode, paper: str, live: str) -> None:
    _configure(settings, paper, live)

    with pytest.raises(UnsafeExchangeUrl):
        factory.exchange_for(Login(mode))


TYPOS = [
    ("MUCKARD_PAPER_EXCHANGE_URL", "https://api.kraken.com", "names Kraken itself"),
    ("MUCKARD_MARKET_SOURCE", "live", "needs MUCKARD_KRAKEN_URL"),
    ("MUCKARD_PAPER_EXCHANGE_URL", "https://futures.kraken.com", "names Kraken itself"),
    ("MUCKARD_KRAKEN_URL", "http://api.kraken.com", "must begin with https"),
    ("MUCKARD_MARKET_SOURCE", "Live", "MUCKARD_MARKET_SOURCE is not valid"),
    ("MUCKARD_KRAKEN_ULR", "https://api.kraken.com", "Did you mean MUCKARD_KRAKEN_URL?"),
]


@pytest.mark.parametrize(("variable", "value", "sentence"), TYPOS)
def test_a_typo_ends_what_starts_the_bot_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit, match=re.escape(sentence)):
        settings.ENVIRONMENT = environment.__wrapped__("bot")
        apps.get_app_config("exchange").ready()


@pytest.mark.parametrize(("variable", "value", "sentence"), [TYPOS[0], TYPOS[-1]])
def test_a_process_that_starts_with_a_typo_says_one_sentence(variable: str, value: str, sentence: str) -> None:
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


@pytest.mark.parametrize("name", ["paper.internal", "exchange.test"])
def test_a_name_that_resolves_to_the_other_exchange_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("203.0.113.7", 0))])
    addresses._resolved.cache_clear()
    _configure(settings, f"https://{name}", LIVE)

    with pytest.raises(UnsafeExchangeUrl, match="must not be the same server"):
        factory.exchange_for(Login(Mode.PAPER))
    addresses._resolved.cache_clear()


def test_one_host_may_serve_both_on_two_ports(settings: Settings) -> None:
    _configure(settings, "http://localhost:8010", "http://127.0.0.1:8011")

    assert _address(factory.exchange_for(Login(Mode.LIVE))) == "http://127.0.0.1:8011"


def test_a_name_that_does_not_resolve_keeps_paper_at_work(settings: Settings) -> None:
    _configure(settings, PAPER, "https://kraken.invalid:8010")

    assert _address(factory.exchange_for(Login(Mode.PAPER))) == PAPER


def test_with_live_trading_off_there_is_no_live_address(settings: Settings) -> None:
    settings.LIVE_TRADING = False
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kraken_url": None})

    assert addresses.live_exchange_url() is None
    with pytest.raises(LiveExchangeNotConfigured):
        factory.exchange_for(Login(Mode.LIVE))
    with pytest.raises(LiveExchangeNotConfigured):
        factory.market_data_for(Mode.LIVE)
    assert _address(factory.exchange_for(Login(Mode.PAPER)))


def test_with_live_trading_on_it_is_krakens(settings: Settings) -> None:
    settings.LIVE_TRADING = True
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kraken_url": None})

    assert _address(factory.exchange_for(Login(Mode.LIVE))) == LIVE


@pytest.mark.parametrize("variables", [{}, {"MUCKARD_LIVE_TRADING": "false"}])
def test_the_settings_of_a_paper_installation_hold_no_live_address(variables: dict[str, str]) -> None:
    looks = (
        "import os, django; django.setup(); from django.conf import settings; "
        "print([name for name in dir(settings) if 'api.kraken.com' in str(getattr(settings, name))])"
    )
    process = subprocess.run(
        [sys.executable, "-c", looks],
        env={
            **{name: value for name, value in os.environ.items() if name != "MUCKARD_KRAKEN_URL"},
            "SERVICE": "bot",
            "DJANGO_SETTINGS_MODULE": "bot_service.settings",
            "PYTHONPATH": ".:platform",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (process.returncode, process.stdout.strip()) == (0, "[]"), process.stderr
