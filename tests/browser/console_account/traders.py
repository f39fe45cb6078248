"""Traders of the console's tests, made by the API and logged in by the page."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pyotp
from playwright.sync_api import expect

from apps.ops.smoke_test.client import PlatformClient
from tests.browser.watch import WatchedPage
from tests.support.mails import mailed_link

PASSWORD = "correct horse battery staple"


def new_address() -> str:
    return f"{uuid4().hex}@example.com"


@dataclass
class Trader:
    client: PlatformClient
    email: str = field(default_factory=new_address)
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, url: str) -> "Trader":
        """With a confirmed address."""
        trader = cls(PlatformClient(url))
        trader.client.post("/api/v1/auth/register", {"email": trader.email, "password": PASSWORD, "name": "Ada"})
        token = parse_qs(urlsplit(mailed_link(trader.email, "verify")).query)["token"][0]
        trader.client.post("/api/v1/auth/email/verify", {"token": token, "password": PASSWORD}, accept=(200, 204))
        trader.client.token = trader.client.post("/api/v1/auth/login", {"email": trader.email, "password": PASSWORD})[
            "access"
        ]
        return trader

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
