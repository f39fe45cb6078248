"""Chromium on the whole platform. Every page is watched: no console error, no breach of its policy, no foreign host."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from dev.install import installer
from tests.browser.watch import WatchedPage
from tests.support.platform import manage

PASSWORD = "correct horse battery staple"
# Long enough for the first page of a process on a shared machine.
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)


@dataclass(frozen=True)
class StaffAccount:
    email: str
    password: str = PASSWORD


# Ends with this folder's tests: while Playwright's event loop runs in this thread, Django refuses to use the database.
@pytest.fixture(scope="package")
def browser(platform_url: str) -> Iterator[Browser]:
    program = installer.browser()
    assert program, "No browser is installed: run `python3 dev/stack.py install --tests`."
    # The ports of a profile are free to choose, and Chromium calls some of them unsafe (10080 is one).
    options = [f"--explicitly-allowed-ports={urlsplit(platform_url).port}"]
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


@pytest.fixture(scope="package")
def staff(platform_url: str) -> StaffAccount:
    """An administrator, opened as operators open one."""
    account = StaffAccount(f"{uuid4().hex}@example.com")
    arguments = ("--email", account.email, "--role", "admin", "--name", "Grace")
    opened = manage("create_staff", *arguments, STAFF_PASSWORD=account.password)
    assert opened.returncode == 0, opened.stderr
    return account
