"""Traders of the console's tests, made by the API and logged in by the page."""

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pyotp
from playwright.sync_api import expect

from apps.ops.smoke_test.client import PlatformClient
from apps.ops.smoke_test.market import played_market
from tests.browser.conftest import PASSWORD
from tests.browser.watch import WatchedPage
from tests.support.mails import mailed_link

# What a bot has that the tests do not say otherwise
BOT = {"name": "Watched bot", "strategy": "sma_cross", "parameters": {"fast": 1, "slow": 3}, "quote_budget": "1000"}


def new_address() -> str:
    return f"{uuid4().hex}@example.com"


@dataclass
class Trader:
    client: PlatformClient
    email: str = field(default_factory=new_address)
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    @classmethod
    def registered(cls, url: str) -> "Trader":
        """Logged in, with an address that is not confirmed."""
        trader = cls(PlatformClient(url))
        trader._register()
        trader._log_in()
        return trader

    @classmethod
    def opened(cls, url: str) -> "Trader":
        """Logged in, with a confirmed address."""
        trader = cls(PlatformClient(url))
        trader._register()
        token = parse_qs(urlsplit(mailed_link(trader.email, "verify")).query)["token"][0]
        trader.client.post("/api/v1/auth/email/verify", {"token": token, "password": PASSWORD}, accept=(200, 204))
        trader._log_in()
        return trader

    def _register(self) -> None:
        self.client.post("/api/v1/auth/register", {"email": self.email, "password": PASSWORD, "name": "Ada"})

    def _log_in(self) -> None:
        tokens = self.client.post("/api/v1/auth/login", {"email": self.email, "password": PASSWORD})
        self.client.token = tokens["access"]

    def bot(self, key: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """On the market that the paper exchange plays."""
        market = played_market(os.environ["MUCKARD_PAPER_EXCHANGE_URL"])
        body = {"pair": market.pair, "interval_minutes": market.interval_minutes, "credential_id": key["id"]}
        return self.client.post("/api/v1/bot", BOT | body | changes)

    def paper_key(self, label: str) -> dict[str, Any]:
        return self.client.post("/api/v1/kraken/connect", {"label": label, "mode": "paper"})

    def turn_second_factor_on(self) -> None:
        self.secret = self.client.post("/api/v1/auth/mfa/setup", {"password": PASSWORD})["secret"]
        confirmed = self.client.post("/api/v1/auth/mfa/confirm", {"otp": pyotp.TOTP(self.secret).now()})
        self.recovery_codes.extend(confirmed["recovery_codes"])


def fill_log_in(watched: WatchedPage, email: str, password: str = PASSWORD) -> None:
    page = watched.page
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()


def log_in(watched: WatchedPage, email: str, password: str = PASSWORD) -> None:
    watched.go_to("/app/log-in")
    fill_log_in(watched, email, password)
    expect_overview(watched)


def expect_overview(watched: WatchedPage) -> None:
    expect(watched.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
