"""How long a user waits: from the start request until the bot runs, and from the request for a trade until the order is
at the exchange. On the platform's own processes behind the gateway, brokers idle, the paper exchange.

The stages are read from what the processes store, all on this machine's clock. The processor time that each process
spent on a start and on a trade says where the time goes, also on a busy machine. Nothing is asserted about time: the
machine is shared. That every start runs and every trade is one order is.
"""

import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

import psutil
import psycopg2
import pytest

from apps.ops.smoke_test.client import Json, PlatformClient
from tests.bench.definitions import SELDOM_TRADES
from tests.bench.figures import record_figure
from tests.support.waiting import eventually

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

BOTS = 100
TRADES_OF_A_BOT = 1
TARGET_MS = 300

_START = """
SELECT asked.requested_at, done.first_delivered_at, done.finished_at
  FROM kraken.bot_command AS asked JOIN events.command_execution AS done ON done.command_id = asked.id
  JOIN bots.trading_bot_run AS run ON run.start_command_id = asked.id
 WHERE asked.id = %s AND done.state = 'done'
"""
_TRADE = """
SELECT asked.requested_at, done.first_delivered_at, intent.planned_at, intent.sent_at, placed.opened_at
  FROM kraken.bot_command AS asked JOIN events.command_execution AS done ON done.command_id = asked.id
  JOIN bots.trading_order_intent AS intent ON intent.command_id = asked.id
  JOIN paper.paper_order AS placed ON placed.cl_ord_id = intent.cl_ord_id
 WHERE asked.id = %s
"""
_STOPPED = "SELECT id FROM bots.trading_bot_run WHERE bot_id = %s AND state = 'stopped'"

START_STAGES = ("request to API", "API, outbox, RabbitMQ to worker", "worker to running")
TRADE_STAGES = (
    "request to API",
    "API, outbox, RabbitMQ to worker",
    "worker: lease, market, rules",
    "worker: intent to SENDING",
    "SENDING to order at the exchange",
)


class Platform:
    """The platform's database, to read what its processes stored."""

    def __init__(self) -> None:
        self._connection = psycopg2.connect(os.environ["DATABASE_URL"])
        self._connection.autocommit = True

    def stages(self, query: str, command_id: str, sent_at: datetime) -> list[float]:
        """Milliseconds of each stage."""
        found: list[tuple[datetime, ...]] = []

        def read() -> bool:
            found[:] = self.rows(query, command_id)
            return bool(found)

        eventually(read, seconds=30, what=f"the end of command {command_id}")
        [row] = found
        times = [sent_at, *row]
        return [(later - earlier).total_seconds() * 1000 for earlier, later in pairwise(times)]

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def platform(platform_url: str) -> Iterator[Platform]:
    opened = Platform()
    yield opened
    opened.close()


def report(what: str, stages: tuple[str, ...], samples: list[list[float]]) -> None:
    totals = sorted(sum(sample) for sample in samples)
    p95 = totals[min(len(totals) - 1, round(0.95 * len(totals)))]
    verdict = "met" if p95 <= TARGET_MS else "MISSED"
    record_figure(f"{what}, each", totals, "ms", better="lower")
    record_figure(f"{what}, p95", p95, "ms", better="lower", goal=TARGET_MS)
    print(
        f"\n{what}: {len(totals)} samples, p50 {statistics.median(totals):.0f} ms, p95 {p95:.0f} ms, "
        f"max {totals[-1]:.0f} ms; target p95 {TARGET_MS} ms: {verdict}"
    )
    for number, stage in enumerate(stages):
        values = sorted(sample[number] for sample in samples)
        worst = values[min(len(values) - 1, round(0.95 * len(values)))]
        print(f"  {stage:<36} p50 {statistics.median(values):6.1f} ms   p95 {worst:6.1f} ms")


def test_a_start_and_a_trade(platform: Platform, trader: PlatformClient) -> None:
    key = trader.post("/api/v1/kraken/connect", {"label": "Bench", "mode": "paper"})
    starts: list[list[float]] = []
    trades: list[list[float]] = []
    spent: dict[str, Counter[str]] = {"start": Counter(), "trade": Counter()}
    for number in range(BOTS):
        bot: Json = trader.post("/api/v1/bot", SELDOM_TRADES | {"name": f"Bench {number}", "credential_id": key["id"]})
        with processor_time(spent["start"]):
            starts.append(timed(platform, trader, f"/api/v1/bot/{bot['id']}/start", {}, _START))
        for _ in range(TRADES_OF_A_BOT):
            wanted = {"side": "buy", "quote_amount": "20"}
            with processor_time(spent["trade"]):
                trades.append(timed(platform, trader, f"/api/v1/bot/{bot['id']}/trigger-trade", wanted, _TRADE))
        trader.post(f"/api/v1/bot/{bot['id']}/stop")
        eventually(partial(platform.rows, _STOPPED, bot["id"]), seconds=30, what="the bot's end")

    assert len(starts) == BOTS
    assert len(trades) == BOTS * TRADES_OF_A_BOT
    report("start request to running", START_STAGES, starts)
    report_spent("a start", spent["start"], len(starts))
    report("trade request to order at the exchange", TRADE_STAGES, trades)
    report_spent("a trade", spent["trade"], len(trades))


@contextmanager
def processor_time(spent: "Counter[str]") -> Iterator[None]:
    """Adds the milliseconds of processor time that each process of the profile spends in the block."""
    before = clocks()
    yield
    for (name, pid), milliseconds in clocks().items():
        spent[name] += round(milliseconds - before.get((name, pid), milliseconds))


def clocks() -> dict[tuple[str, int], float]:
    folder, found = os.environ["MUCKARD_SECRETS_DIR"], {}
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            # A service has a folder of its own below the profile's.
            if variables.get("MUCKARD_SECRETS_DIR", "").startswith(folder) and "MUCKARD_PROCESS" in variables:
                times = process.cpu_times()
                found[variables["MUCKARD_PROCESS"], process.pid] = (times.user + times.system) * 1000
        except psutil.Error:
            continue
    return found


def report_spent(what: str, spent: "Counter[str]", times: int) -> None:
    print(f"  processor time of {what}, with 0.3 s of idling around it:")
    for name, milliseconds in spent.most_common(8):
        print(f"    {name:<24} {milliseconds / times:6.1f} ms")


def timed(platform: Platform, client: PlatformClient, path: str, body: Json, query: str) -> list[float]:
    time.sleep(0.3)  # brokers and processes are idle again
    sent_at = datetime.now(UTC)
    command: dict[str, Any] = client.post(path, body)
    return platform.stages(query, command["id"], sent_at)
