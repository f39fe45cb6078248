"""Stop-all with flatten on a whole platform, while a worker and RabbitMQ are killed: every receipt ends, nothing is
bought after the answer, and the ledger is what the paper exchange says.
"""

import os
import signal
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psutil
import psycopg2
import pytest

from apps.ops.smoke_test.client import PlatformClient
from apps.ops.smoke_test.market import PlayedMarket, played_market
from tests.support.platform import registered_trader, stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

KEYS, BOTS_A_KEY = 4, 5
# A bot buys a little with every candle, so that there are always purchases on their way.
BUDGET, PURCHASE = "1500", "20"
# A user may ask 20 times a second (docs/api.md, limits).
PAUSE_SECONDS = 1.0
ENDED = {"done", "failed", "dropped", "expired"}


def test_stop_all_while_a_worker_and_rabbitmq_die(platform_url: str) -> None:
    client = registered_trader(platform_url)
    market = played_market(os.environ["MUCKARD_PAPER_EXCHANGE_URL"])
    keys = [client.post("/api/v1/kraken/connect", {"label": f"K{n}", "mode": "paper"})["id"] for n in range(KEYS)]
    bots = [bot_on(client, key, market) for key in keys for _ in range(BOTS_A_KEY)]
    for bot in bots:
        client.post(f"/api/v1/bot/{bot}/start")
    for bot in bots:
        eventually(lambda: holds(client, bot), seconds=240, what=f"a position of {bot}")  # noqa: B023

    worker, rabbitmq = process_of("worker"), process_of("RabbitMQ")
    commands = client.post("/api/v1/bot/stop-all", {"manner": "flatten"})["results"]
    answered_at = datetime.now(UTC)
    kill(worker)
    time.sleep(0.5)
    kill(rabbitmq)
    time.sleep(5)
    stack("servers")

    assert {command["bot_id"] for command in commands} == set(bots)
    receipts = eventually(lambda: all_ended(client, commands), seconds=400, what="the end of every receipt")

    print(f"\nreceipts: {sorted((each['state'], (each['result'] or {}).get('outcome')) for each in receipts)}")
    assert bought_after(bots, answered_at) == []
    assert {each["state"] for each in receipts} == {"done"}
    for receipt in receipts:
        assert receipt["result"]["outcome"] in ("complete", "incomplete")
        assert (receipt["result"]["outcome"] == "complete") == (Decimal(receipt["result"]["left_volume"]) == 0)
    assert unended(bots) == 0
    for key in keys:
        eventually(lambda: differences(client, key) == {}, seconds=120, what=f"equal balances of {key}")  # noqa: B023


def bot_on(client: PlatformClient, key: str, market: PlayedMarket) -> str:
    made = client.post(
        "/api/v1/bot",
        {
            "name": f"Bot {uuid4().hex[:8]}",
            "credential_id": key,
            "pair": market.pair,
            "strategy": "dca",
            "parameters": {"quote_amount": PURCHASE},
            "interval_minutes": market.interval_minutes,
            "quote_budget": BUDGET,
        },
    )
    return str(made["id"])


def holds(client: PlatformClient, bot: str) -> bool:
    time.sleep(PAUSE_SECONDS)
    return Decimal(client.get(f"/api/v1/bot/{bot}/status")["position_volume"]) > 0


def all_ended(client: PlatformClient, commands: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    time.sleep(PAUSE_SECONDS)
    found = [client.get(f"/api/v1/bot/{each['bot_id']}/commands/{each['id']}") for each in commands]
    return found if all(each["state"] in ENDED for each in found) else None


def process_of(name: str) -> psutil.Process:
    """A process of the platform by its name in `dev/stack.py status`."""
    [line] = [line for line in stack("status").splitlines() if line.split("   ")[0].strip() == name]
    return psutil.Process(int(line.rpartition("pid ")[2]))


def kill(process: psutil.Process) -> None:
    for each in [*process.children(recursive=True), process]:
        each.send_signal(signal.SIGKILL)


def rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg2.connect(os.environ["DATABASE_URL"]) as session, session.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def bought_after(bots: list[str], moment: datetime) -> list[tuple[Any, ...]]:
    """Purchases that were marked as being sent after the answer."""
    statement = (
        "SELECT cl_ord_id, sent_at FROM bots.trading_order_intent "
        "WHERE side = 'buy' AND sent_at > %s AND bot_id = ANY(%s::uuid[])"
    )
    return rows(statement, moment, bots)


def unended(bots: list[str]) -> int:
    statement = "SELECT count(*) FROM bots.trading_order_intent WHERE ended_at IS NULL AND bot_id = ANY(%s::uuid[])"
    return int(rows(statement, bots)[0][0])


def differences(client: PlatformClient, key: str) -> dict[str, tuple[Decimal, Decimal]]:
    """By asset: what the ledger says and what the exchange shows, where they differ by more than its rounding."""
    shown = {
        each["asset"]: Decimal(each["total"]) for each in client.get(f"/api/v1/kraken/keys/{key}/balances")["balances"]
    }
    booked = rows("SELECT asset, booked, postings FROM risk.risk_account_asset WHERE account_id = %s", key)
    return {
        asset: (amount, shown.get(asset, Decimal(0)))
        for asset, amount, postings in booked
        if abs(amount - shown.get(asset, Decimal(0))) > Decimal("0.0001") * (1 + postings)
    }
