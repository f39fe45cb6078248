"""The authenticated reads of a trader's client, beside a bare view of the same framework (tests/bench/yardstick.py).

Each service runs in one gunicorn process with 16 threads, as the yardstick does, and answers 16 connections that stay
open. Rounds alternate. Compared is the processor time of the process for each answer, which a busy machine does not
change much; the answers per second are printed beside it. The same reads go through the gateway, too.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest
import requests

from apps.ops.smoke_test.client import PlatformClient
from tests.bench.definitions import SELDOM_TRADES
from tests.bench.figures import record_figure
from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
THREADS = 16
ROUNDS = 5
REQUESTS = 800
GOAL = 0.75


@dataclass(frozen=True)
class Server:
    """One gunicorn with one worker process."""

    url: str
    process: psutil.Process

    def processor_seconds(self) -> float:
        family = [self.process, *self.process.children(recursive=True)]
        return sum(times.user + times.system for each in family for times in [each.cpu_times()])


@contextmanager
def serving(application: str, **variables: str) -> Iterator[Server]:
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread",
        "--workers", "1", "--threads", str(THREADS), "--keep-alive", "75", "--log-level", "warning",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "MUCKARD_LOG_FORMAT": "json", **variables}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(url), seconds=90, what=f"{application} to answer")
            yield Server(url, psutil.Process(run.pid))
        finally:
            run.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/nothing", timeout=5).status_code == 404
    except requests.RequestException:
        return False


@dataclass(frozen=True)
class Round:
    per_second: float
    milliseconds: float


def measured(server: Server, path: str, token: str, requests_: int = REQUESTS) -> Round:
    before, began = server.processor_seconds(), time.perf_counter()
    asyncio.run(_ask(server.url + path, token, requests_))
    seconds = time.perf_counter() - began
    return Round(requests_ / seconds, (server.processor_seconds() - before) / requests_ * 1000)


async def _ask(url: str, token: str, requests_: int) -> None:
    """`requests_` answers of 200 over THREADS connections."""
    left = iter(range(requests_))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.get(url) as answer:
                await answer.read()
                assert answer.status == 200, await answer.text()

    connector = aiohttp.TCPConnector(limit=THREADS)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(client(session) for _ in range(THREADS)))


@pytest.fixture(scope="module")
def bot(trader: PlatformClient) -> str:
    """A bot that runs and has traded."""
    key = trader.post("/api/v1/kraken/connect", {"label": "Reads", "mode": "paper"})
    made: str = trader.post("/api/v1/bot", SELDOM_TRADES | {"name": "Reads", "credential_id": key["id"]})["id"]
    trader.post(f"/api/v1/bot/{made}/start")
    eventually(
        lambda: trader.get(f"/api/v1/bot/{made}/status")["state"] == "running", seconds=60, what="the bot to run"
    )
    eventually(lambda: _has_traded(trader, made), seconds=60, what="its first trade")
    return made


def _has_traded(trader: PlatformClient, bot: str) -> bool:
    """Asks for a trade, which a market on the move may leave unfilled, and waits a little for it."""
    trader.post(f"/api/v1/bot/{bot}/trigger-trade", {"side": "buy", "quote_amount": "20"})
    time.sleep(3)
    return bool(trader.get(f"/api/v1/bot/{bot}/trades")["results"])


def test_the_reads_beside_a_bare_view(trader: PlatformClient, bot: str) -> None:
    reads = {
        "status": ("kraken", f"/api/v1/bot/{bot}/status"),
        "trades": ("kraken", f"/api/v1/bot/{bot}/trades"),
        "candles": ("kraken", "/api/v1/trading/ohlc?pair=XBTUSD&interval=1440&limit=50"),
        "ticker": ("kraken", "/api/v1/trading/ticker?pair=XBTUSD"),
        "me": ("user", "/api/v1/user/me"),
    }
    public_key = (Path(os.environ["MUCKARD_SECRETS_DIR"]) / "common" / "muckard_jwt_public_key").read_text()
    with ExitStack() as stack:
        yardstick = stack.enter_context(serving("tests.bench.yardstick:application", READS_PUBLIC_KEY=public_key))
        services = {
            name: stack.enter_context(
                serving(
                    f"{name}_service.wsgi:application",
                    SERVICE=name,
                    DJANGO_SETTINGS_MODULE=f"{name}_service.settings",
                    MUCKARD_ENVIRONMENT="development",
                    MUCKARD_QUOTA_READ="0",
                )
            )
            for name in ("kraken", "user")
        }
        print(f"\n{THREADS} threads, {THREADS} connections, {ROUNDS} rounds of {REQUESTS} requests each, medians")
        for name, (service, path) in reads.items():
            for server, place in ((yardstick, f"/bare/{bot}"), (services[service], path)):
                measured(server, place, trader.token, 200)
            bare, ours = [], []
            for _ in range(ROUNDS):
                bare.append(measured(yardstick, f"/bare/{bot}", trader.token))
                ours.append(measured(services[service], path, trader.token))
            report(name, bare, ours)


def report(name: str, bare: list[Round], ours: list[Round]) -> None:
    ratio = statistics.median(b.milliseconds / o.milliseconds for b, o in zip(bare, ours, strict=True))
    rate = statistics.median(o.per_second / b.per_second for b, o in zip(bare, ours, strict=True))
    ratios = [b.milliseconds / o.milliseconds for b, o in zip(bare, ours, strict=True)]
    record_figure(f"{name}, of a bare view's speed", ratios, "", better="higher", goal=GOAL)
    record_figure(name, [o.milliseconds for o in ours], "ms", better="lower", note="processor time of an answer")
    print(
        f"  {name:<8} {statistics.median(o.milliseconds for o in ours):5.2f} ms of processor time, bare "
        f"{statistics.median(b.milliseconds for b in bare):5.2f} ms: {ratio:.2f} of the bare view's speed; "
        f"{statistics.median(o.per_second for o in ours):4.0f}/s beside "
        f"{statistics.median(b.per_second for b in bare):4.0f}/s: {rate:.2f}; goal {GOAL}: "
        f"{'met' if ratio >= GOAL else 'MISSED'}"
    )
