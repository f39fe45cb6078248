"""The staff site on a large installation: how long its lists, its dashboard and the event browser take.

In one process, through the site's own middleware, one request after the other: the first page of each list, its second
one, and a search. Sizes by variables: BENCH_STAFF_EVENTS, BENCH_STAFF_ORDERS, BENCH_STAFF_BOTS.
"""

import os
import re
import statistics
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.bots.models import Bot, BotStatus
from apps.core.ids import new_id
from apps.events.models import StoredEvent
from apps.ops.staff_pages import SITE, staff_pages
from apps.trading.models.orders import OrderIntent
from tests.bench.figures import record_figure
from tests.bench.test_event_store import FILL, PAYLOAD
from tests.factories.accounts import FAST_HASHERS
from tests.factories.trading import fake_exchange, planned_order
from tests.support.staff_site import client_of, serve_staff_site

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(1_800)]

EVENTS = int(os.environ.get("BENCH_STAFF_EVENTS", "1000000"))
ORDERS = int(os.environ.get("BENCH_STAFF_ORDERS", "100000"))
BOTS = int(os.environ.get("BENCH_STAFF_BOTS", "10000"))
AGGREGATES = 20_000
AT_ONCE = 50_000
ROUNDS = 15
GOAL_MS = 500.0
LISTS = [page.path for page in staff_pages() if re.fullmatch(rf"{SITE}\w+/\w+/", page.path)]
WORKPLACES = ("/admin/dashboard/", "/admin/dashboard/figures.json", "/admin/event-browser/")

_COPY = """
INSERT INTO trading_order_intent ({columns})
SELECT {values} FROM trading_order_intent AS template CROSS JOIN generate_series(1, %s) AS n
"""
# What makes a copy of a planned order one that has ended without having been placed.
_ENDED = {
    "id": "gen_random_uuid()",
    "cl_ord_id": "lpad(n::text, 18, '0')",
    "decision_id": "lpad(n::text, 32, '0')",
    "state": "'not_placed'",
    "evidence": """'[{"at": "2026-01-01T00:00:00Z"}]'""",
    "reserved_quote": "0",
    "reserved_base": "0",
    "planned_at": "template.planned_at - n * interval '1 minute'",
    "ended_at": "template.planned_at",
}


@pytest.fixture
def staff(settings: Any) -> Client:
    """An administrator on a site with all these rows."""
    _fill_events()
    _fill_bots()
    _fill_orders()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    serve_staff_site(settings)
    settings.PASSWORD_HASHERS = FAST_HASHERS
    return client_of("admin")


def _fill_events() -> None:
    for start in range(0, EVENTS, AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(FILL.format(function="append_event"), [AGGREGATES, PAYLOAD, min(AT_ONCE, EVENTS - start)])
            cursor.execute("DELETE FROM events.outbox")


def _fill_bots() -> None:
    now = timezone.now()
    bots = [
        Bot(user_id=new_id(), name=f"Bot {number}", credential_id=new_id(), mode="paper", pair="XBTUSD",
            strategy="sma_cross", parameters={"fast": 2, "slow": 4}, interval_minutes=60, quote_budget=200,
            created_at=now, updated_at=now)
        for number in range(BOTS)
    ]  # fmt: skip
    Bot.objects.bulk_create(bots, batch_size=2000)
    statuses = [
        BotStatus(bot_id=bot.id, user_id=bot.user_id, since=now, base_asset="XBT", quote_asset="USD") for bot in bots
    ]
    BotStatus.objects.bulk_create(statuses, batch_size=2000)


def _fill_orders() -> None:
    planned_order(fake_exchange())
    columns = [str(field.column) for field in OrderIntent._meta.concrete_fields]
    values = ", ".join(_ENDED.get(column, f"template.{column}") for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(_COPY.format(columns=", ".join(columns), values=values), [ORDERS])


def _milliseconds(staff: Client, path: str) -> float:
    began_at = time.perf_counter()
    answer = staff.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return (time.perf_counter() - began_at) * 1000


def test_lists_dashboard_and_event_browser_with_a_million_events(staff: Client) -> None:
    event = StoredEvent.objects.order_by("-recorded_at").values("correlation_id", "aggregate_id")[0]
    searched = f"/admin/event-browser/?about={event['aggregate_id']}"
    chain = f"/admin/event-browser/chain/{event['correlation_id']}/"
    found = {}
    for path in (*LISTS, *WORKPLACES, searched, chain):
        _milliseconds(staff, path)
        times = sorted(_milliseconds(staff, path) for _ in range(ROUNDS))
        found[path] = (statistics.median(times), times[round(0.95 * ROUNDS) - 1])
    print()
    for path, (median, p95) in sorted(found.items(), key=lambda item: -item[1][1])[:12]:
        print(f"  {path[:60]:<60} p50 {median:7.1f} ms   p95 {p95:7.1f} ms")
    note = f"{EVENTS:,} events, {ORDERS:,} orders, {BOTS:,} bots"
    slowest = max(LISTS, key=lambda path: found[path][1])
    record_figure("slowest list, p95", found[slowest][1], "ms", better="lower", goal=GOAL_MS, note=f"{note}; {slowest}")
    for path, name in zip(
        (*WORKPLACES, searched, chain),
        ("dashboard", "dashboard's figures", "event browser", "event browser, one aggregate", "event browser, a chain"),
        strict=True,
    ):
        record_figure(f"{name}, p95", found[path][1], "ms", better="lower", goal=GOAL_MS, note=note)
