"""What the reconciler tells of orders, runs, accounts, keys and budgets as they stand in the database."""

import time
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min
from django.utils import timezone

from apps.core.metrics import gauge
from apps.core.terms import Mode
from apps.exchange.limits import MICRO, PAIR, REST, Tier
from apps.exchange.limits import Count as PointCount
from apps.exchange.models import ExchangeBudget, ExchangeNonce
from apps.risk.models.accounts import AccountAsset
from apps.risk.models.halts import Halt
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.runs import LIVE_RUNS, BotRun
from apps.vault.models import Credential

_HERE = ("reconciler",)

orders = gauge("orders", "Orders that have not ended, by state.", ["mode", "state"], processes=_HERE)
oldest_order = gauge(
    "orders_oldest_age_seconds", "How long ago the oldest order of a state was sent, or planned where it was not sent.",
    ["mode", "state"], processes=_HERE,
)  # fmt: skip
runs = gauge("bot_runs", "Runs of bots that have not ended, by state.", ["mode", "state"], processes=_HERE)
runs_in_trouble = gauge("bot_runs_in_trouble", "Running bots whose last ticks failed.", ["mode"], processes=_HERE)
drifts = gauge("account_drifts", "Assets whose balance is not what the sub-ledger says.", processes=_HERE)
oldest_drift = gauge("account_drift_oldest_age_seconds", "How long the oldest drift has lasted.", processes=_HERE)
keys = gauge("exchange_keys", "Connected keys: active or suspended.", ["mode", "state"], processes=_HERE)
refused_keys = gauge(
    "exchange_keys_refused", "Keys that sign nothing: the exchange refused them, or locked them for a while.",
    processes=_HERE,
)  # fmt: skip
paused_keys = gauge("exchange_keys_paused", "Keys for which the exchange asked for a pause.", processes=_HERE)
budget_left = gauge(
    "exchange_budget_left_ratio",
    "The least of the calls left to any key: 1 is all, 0 none. Scope: key (REST counter), pair (placements of a pair).",
    ["scope"],
    processes=_HERE,
    children="livemin",
)
halts = gauge("halts_in_force", "Halts that hold now.", ["scope", "level"], processes=_HERE)

_ACTIVE_ORDERS = f"""
SELECT run.mode, intent.state, count(*), min(coalesce(intent.sent_at, intent.planned_at))
  FROM trading_order_intent AS intent JOIN trading_bot_run AS run ON run.id = intent.run_id
 WHERE intent.state IN ({", ".join(f"'{state}'" for state in ACTIVE_STATES)})
 GROUP BY run.mode, intent.state
"""  # noqa: S608 (literals, so that the planner can use the partial index)  # nosec B608


def read_figures() -> None:
    """Sets the gauges. Raises DatabaseError."""
    now = timezone.now()
    _read_orders(now)
    _read_runs()
    _read_accounts(now)
    _read_keys(now)
    _read_budgets(Tier(settings.ENVIRONMENT.kraken_tier), time.time_ns() // 1000)
    halts.clear()
    for scope, level, count in Halt.objects.filter(lifted_at=None).values_list("scope", "level").annotate(Count("id")):
        halts.labels(scope, level).set(count)


def _read_orders(now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVE_ORDERS)
        found = {(mode, state): (count, since) for mode, state, count, since in cursor.fetchall()}
    for mode in Mode:
        for state in map(IntentState, ACTIVE_STATES):
            count, since = found.get((mode.value, state.value), (0, None))
            orders.labels(mode, state).set(count)
            oldest_order.labels(mode, state).set(_age(since, now))


def _read_runs() -> None:
    live = BotRun.objects.filter(state__in=LIVE_RUNS)
    counted = {(mode, state): count for mode, state, count in live.values_list("mode", "state").annotate(Count("id"))}
    troubled = dict(live.exclude(trouble_code="").values_list("mode").annotate(Count("id")))
    for mode in Mode:
        runs_in_trouble.labels(mode).set(troubled.get(mode.value, 0))
        for state in LIVE_RUNS:
            runs.labels(mode, state).set(counted.get((mode.value, state), 0))


def _read_accounts(now: datetime) -> None:
    drifting = AccountAsset.objects.exclude(drift_since=None).aggregate(count=Count("id"), since=Min("drift_since"))
    drifts.set(drifting["count"])
    oldest_drift.set(_age(drifting["since"], now))


def _read_keys(now: datetime) -> None:
    rows = Credential.objects.values_list("mode", "state").annotate(Count("id"))
    counted = {(mode, state): count for mode, state, count in rows}
    for mode in Mode:
        for state in (Credential.State.ACTIVE, Credential.State.SUSPENDED):
            keys.labels(mode, state).set(counted.get((mode.value, state.value), 0))
    refused = ExchangeNonce.objects.exclude(refused_code="").exclude(refused_until__lte=now)
    refused_keys.set(refused.count())


def _read_budgets(tier: Tier, now: int) -> None:
    left = {"key": 1.0, "pair": 1.0}
    paused = set()
    rows = ExchangeBudget.objects.values_list("key_digest", "scope", "points", "counted_at", "blocked_until")
    for digest, scope, points, counted_at, blocked_until in rows.iterator(chunk_size=1000):
        if blocked_until > now:
            paused.add(digest)
        limit = (PAIR if scope else REST)[tier]
        used = PointCount(points, counted_at).decayed(limit, now).points / (limit.most * MICRO)
        kind = "pair" if scope else "key"
        left[kind] = min(left[kind], max(0.0, 1.0 - used))
    for kind, ratio in left.items():
        budget_left.labels(kind).set(ratio)
    paused_keys.set(len(paused))


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
