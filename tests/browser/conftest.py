"""Chromium on the whole platform. Every page is watched: no console error, no breach of its policy, no foreign host."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

import pyotp
import pytest
from playwright.sync_api import Browser, StorageState, expect, sync_playwright

from apps.ops.smoke_test.client import PlatformClient
from dev.base import profile as profiles
from dev.base.profile import PORTS, Profile
from dev.config import gateway
from dev.install import installer
from tests.browser.watch import WatchedPage
from tests.support.gateway import Gateways, wait_for
from tests.support.platform import manage
from tests.support.ports import free_ports

PASSWORD = "correct horse battery staple"
# Long enough for the first page of a process on a shared machine.
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)


@dataclass(frozen=True)
class StaffAccount:
    email: str
    password: str = PASSWORD
    # Each is good for one log-in; an authenticator's codes are so once in 30 seconds.
    recovery_codes: list[str] = field(default_factory=list)


# Ends with this folder's tests: while Playwright's event loop runs in this thread, Django refuses to use the database.
@pytest.fixture(scope="package")
def browser(platform_url: str) -> Iterator[Browser]:
    program = installer.browser()
    assert program, "No browser is installed: run `python3 dev/stack.py install --tests`."
    # The ports of a profile are free to choose, and Chromium calls some of them unsafe (10080 is one).
    # Without a graphics card, Chromium would render by an emulated one.
    options = ["--disable-gpu", f"--explicitly-allowed-ports={urlsplit(platform_url).port}"]
    if os.geteuid() == 0:
        # Chromium's sandbox refuses to run as root.
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=options)
        yield launched
        launched.close()


@pytest.fixture
def watched(browser: Browser, platform_url: str) -> Iterator[WatchedPage]:
    """A page in a session of its own. What it should not have seen fails the test at its end."""
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    page = WatchedPage.open(context, platform_url)
    yield page
    page.assert_clean()
    context.close()


@pytest.fixture
def newcomer(platform_url: str) -> StaffAccount:
    """Staff without an authenticator."""
    return _opened(StaffAccount(f"{uuid4().hex}@example.com"))


def _opened(account: StaffAccount) -> StaffAccount:
    arguments = ("--email", account.email, "--role", "admin", "--name", "Grace")
    opened = manage("create_staff", *arguments, STAFF_PASSWORD=account.password)
    assert opened.returncode == 0, opened.stderr
    return account


@pytest.fixture(scope="package")
def secured_url(platform_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second gateway before the same services, with a certificate that signs itself."""
    ports = {name: int(os.environ.get(profiles.variable(name), port)) for name, port in PORTS.items()}
    ports |= dict(zip(("gateway", "gateway_tls"), free_ports(2), strict=True))
    beside = Profile(name="secured", ports=ports, home=tmp_path_factory.mktemp("secured"))
    beside.create()
    gateway.write(beside, {"MUCKARD_TLS": "self-signed"})
    gateways = Gateways(beside.home)
    gateways.run(gateway.command(beside, "-g", "daemon off;"), gateway.folder(beside))
    wait_for(ports["gateway_tls"])
    yield f"https://127.0.0.1:{ports['gateway_tls']}"
    gateways.end()


@pytest.fixture(scope="package")
def staff(platform_url: str) -> StaffAccount:
    """An administrator, opened as operators open one."""
    account = _opened(StaffAccount(f"{uuid4().hex}@example.com"))
    client = PlatformClient(platform_url)
    client.token = client.post("/api/v1/auth/login", {"email": account.email, "password": account.password})["access"]
    secret = client.post("/api/v1/auth/mfa/setup", {"password": account.password})["secret"]
    confirmed = client.post("/api/v1/auth/mfa/confirm", {"otp": pyotp.TOTP(secret).now()})
    account.recovery_codes.extend(confirmed["recovery_codes"])
    return account


@pytest.fixture(scope="package")
def staff_cookies(browser: Browser, platform_url: str, staff: StaffAccount) -> StorageState:
    """Of a log-in to the staff site."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{platform_url}/admin/")
    page.get_by_label("Email").fill(staff.email)
    page.get_by_label("Password*").fill(staff.password)
    page.get_by_label("One-time password").fill(staff.recovery_codes.pop())
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def watched_by_staff(browser: Browser, platform_url: str, staff_cookies: StorageState) -> Iterator[WatchedPage]:
    """As `watched`, of staff who are logged in."""
    context = browser.new_context(storage_state=staff_cookies)
    context.set_default_timeout(TIMEOUT_MS)
    page = WatchedPage.open(context, platform_url)
    yield page
    page.assert_clean()
    context.close()
