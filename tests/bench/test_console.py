"""The console of a trader with 50 bots and 100 000 trades: how long the pages take, and what a browser has to load.

Through the gateway, one request after the other, on the platform's own processes. The answer of a health page stands
beside them: what the gateway, the process and the machine take for no work at all.
"""

import os
import re
import statistics
import subprocess
import sys
import time

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from dev.install import installer
from tests.bench.figures import record_figure
from tests.load.people import PASSWORD, email_of
from tests.support.platform import ROOT

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

TRADER, BOTS, TRADES = 9_000, 50, 100_000
ROUNDS = 40
PAGES = ("/app/", "/app/bots", "/app/trades", "/app/orders", "/app/portfolio", "/app/keys", "/app/alerts")
PAGE_MS, PAINT_MS, KILOBYTES = 150.0, 1000.0, 350.0
LOADS = 7

# Resource entries have no bytes where the browser took them from its cache; this context has none.
_LOADED = """() => {
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    return [paint ? paint.startTime : null, entries.reduce((sum, entry) => sum + entry.transferSize, 0)];
}"""


@pytest.fixture(scope="module")
def session(platform_url: str) -> requests.Session:
    """Logged in to the console as the trader."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "MUCKARD_ENVIRONMENT": "development"}
    people = [sys.executable, "-m", "tests.load.people", "1", "--first", str(TRADER), "--bots", str(BOTS)]
    people += ["--trades", str(TRADES // BOTS)]
    subprocess.run(people, cwd=ROOT, env=environment, check=True, timeout=300)
    logged_in = requests.Session()
    form = logged_in.get(f"{platform_url}/app/log-in", timeout=30).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    fields |= {"email": email_of(TRADER), "password": PASSWORD}
    answer = logged_in.post(f"{platform_url}/app/log-in", fields, headers={"Referer": platform_url}, timeout=30)
    assert "Overview" in answer.text
    return logged_in


def bot_page(session: requests.Session, url: str) -> str:
    found = re.search(r"/app/bots/[0-9a-f-]{36}", session.get(f"{url}/app/bots", timeout=30).text)
    assert found
    return found[0]


def milliseconds(session: requests.Session, address: str) -> float:
    began_at = time.perf_counter()
    answer = session.get(address, timeout=30)
    assert answer.status_code == 200, address
    return (time.perf_counter() - began_at) * 1000


def test_server_time_of_each_page(session: requests.Session, platform_url: str) -> None:
    note = f"{BOTS} bots, {TRADES:,} trades"
    print()
    for path in ("/health/console", *PAGES, bot_page(session, platform_url)):
        name = "/app/bots/{id}" if path.startswith("/app/bots/") else path
        milliseconds(session, platform_url + path)  # the first one fills caches
        times = sorted(milliseconds(session, platform_url + path) for _ in range(ROUNDS))
        p95 = times[round(0.95 * ROUNDS) - 1]
        record_figure(f"{name}, p95", p95, "ms", better="lower", goal=PAGE_MS if "app" in name else None, note=note)
        print(f"  {name:<18} p50 {statistics.median(times):6.1f} ms   p95 {p95:6.1f} ms")


def test_what_a_browser_loads_for_the_page_of_a_bot(session: requests.Session, platform_url: str) -> None:
    path = bot_page(session, platform_url)
    cookies = [{"name": each.name, "value": each.value or "", "url": platform_url} for each in session.cookies]
    port = platform_url.rpartition(":")[2]
    with sync_playwright() as playwright:
        options = ["--disable-gpu", f"--explicitly-allowed-ports={port}", "--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=installer.browser(), args=options)
        loads = []
        for _ in range(LOADS):
            context = browser.new_context()
            context.add_cookies(cookies)  # type: ignore[arg-type]
            loads.append(loaded(context.new_page(), platform_url + path))
            context.close()
        browser.close()
    paints, sizes = [paint for paint, _ in loads], [size for _, size in loads]
    note = f"page of a bot, nothing cached, {LOADS} loads"
    record_figure("first contentful paint", paints, "ms", better="lower", goal=PAINT_MS, note=note)
    record_figure("loaded", sizes, "kB", better="lower", goal=KILOBYTES, note=note)
    print(f"\n  first contentful paint {statistics.median(paints):.0f} ms, loaded {statistics.median(sizes):.0f} kB")


def loaded(page: Page, address: str) -> tuple[float, float]:
    """Milliseconds to the first contentful paint, and the kilobytes that came over the wire."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    page.wait_for_timeout(1000)  # the panels and the chart
    paint, size = page.evaluate(_LOADED)
    return paint, size / 1000
