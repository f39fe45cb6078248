"""The panels of the dashboard: tables that are readable without a script.

No broker is asked: processes write what they measure into the database (apps/core/samples.py), and a panel says how old
that is. A panel that cannot be read says so and leaves the others alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.db import DatabaseError, transaction

from apps.analytics.models import DailyFigure
from apps.analytics.selectors import figure_list
from apps.core.money import plain
from apps.core.samples import ERRORS, REQUESTS, slot_of
from apps.ops.dashboard.samples import Latest, counts_since, latest_samples
from apps.ops.health import platform_health

log = structlog.get_logger(__name__)

# Older than this, a figure is no present one: the process that measures it every ten seconds is not doing so.
STALE_AFTER = timedelta(seconds=60)
DAYS = 14
Figure = DailyFigure.Figure
_COUNTED = tuple(each for each in Figure if each is not Figure.VOLUME)


@dataclass(frozen=True)
class Panel:
    """`state` is ok, bad or unknown. Cells are texts; `plots` names plots of `history` that belong to the panel."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]] = ()
    state: str = "ok"
    detail: str = ""
    plots: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Known:
    """What several panels are made of."""

    now: datetime
    samples: Latest
    # State and detail of each dependency by name, brokers among them.
    states: Mapping[str, tuple[str, str]]

    def state_of(self, figures: Iterable[str], broker: str = "") -> tuple[str, str]:
        """State and detail of a panel that shows these figures: bad while the broker is down, unknown where none was
        measured lately."""
        state, detail = self.states.get(broker, ("up", ""))
        if broker and state != "up":
            return "bad", f"{broker} is down. {detail} The figures are the last that are known."
        measured = self.samples.measured_at(figures)
        if measured is None:
            return "unknown", "Nothing has been measured in the last half hour: see which process is down."
        age = self.now - measured
        if age > STALE_AFTER:
            return "unknown", f"Last measured {int(age.total_seconds())} s ago: the process that measures it is down."
        return "ok", ""


def panels(*, now: datetime) -> list[Panel]:
    """Every panel. `now` is UTC. Never raises for a broker or service that is down."""
    dependencies = platform_health(now=now)[1]["dependencies"]
    states = {each["name"]: (each["state"], each["detail"]) for each in dependencies}
    known = _Known(now, latest_samples(now=now), states)
    made = [_processes(dependencies)]
    for title, make in _PANELS.items():
        try:
            with transaction.atomic():
                made.append(make(known))
        except DatabaseError as error:
            log.warning("dashboard_panel_not_read", panel=title, error=type(error).__name__)
            made.append(Panel(title.lower().replace(" ", "-"), title, (), state="unknown", detail="It cannot be read."))
    return made


def _processes(dependencies: list[dict[str, Any]]) -> Panel:
    down = [each["name"] for each in dependencies if each["state"] != "up"]
    rows = sorted(
        ((each["name"], each["state"], each["detail"]) for each in dependencies),
        key=lambda row: (row[1] == "up", row[0]),
    )
    detail = f"{len(down)} of {len(dependencies)} are not up." if down else f"All {len(dependencies)} are up."
    return Panel("processes", "Services and processes", ("name", "state", "detail"), rows, _badly(bool(down)), detail)


def _queues(known: _Known) -> Panel:
    depths = known.samples.of("queue_messages")
    rows = [(queue, _number(count)) for queue, count in sorted(depths.items()) if not queue.startswith("muckard.retry")]
    rows.sort(key=lambda row: row[1] == "0")
    retries = sum(count for queue, count in depths.items() if queue.startswith("muckard.retry"))
    state, detail = known.state_of(["queue_messages"], "rabbitmq")
    dead = sum(count for queue, count in depths.items() if queue.endswith(".dlq"))
    if state == "ok" and dead:
        state, detail = "bad", f"{_number(dead)} messages are in dead-letter queues."
    rows.append(("all retry delays", _number(retries)))
    return Panel("queues", "Queues", ("queue", "messages ready"), rows, state, detail, ("queues",))


def _consumers(known: _Known) -> Panel:
    lags: dict[str, float] = defaultdict(float)
    for label, lag in known.samples.of("consumer_lag").items():
        lags[label.partition("/")[0]] += lag
    letters = known.samples.of("consumer_dead_letters_waiting")
    rows = [(group, _number(lags.get(group, 0)), _number(letters.get(group, 0))) for group in sorted({*lags, *letters})]
    state, detail = known.state_of(["consumer_lag"], "kafka")
    if state == "ok" and any(letters.values()):
        state, detail = "bad", f"{_number(sum(letters.values()))} dead letters wait for a redrive."
    return Panel("consumers", "Consumer lag", ("group", "events behind", "dead letters"), rows, state, detail, ("lag",))


def _outbox(known: _Known) -> Panel:
    ages, waiting, parked = (
        known.samples.of(name) for name in ("outbox_oldest_age_seconds", "outbox_pending", "outbox_parked_keys")
    )
    rows = [
        (to, _seconds(age), _number(waiting.get(to, 0)), _number(parked.get(to, 0))) for to, age in sorted(ages.items())
    ]
    state, detail = known.state_of(["outbox_oldest_age_seconds"])
    is_late = any(age > STALE_AFTER.total_seconds() for age in ages.values())
    if state == "ok" and (is_late or any(parked.values())):
        state, detail = "bad", "Keys are parked." if any(parked.values()) else "A message waits for more than a minute."
    columns = ("to", "oldest message", "waiting", "parked keys")
    return Panel("outbox", "Outbox", columns, rows, state, detail, ("outbox",))


def _orders(known: _Known) -> Panel:
    counts, ages = known.samples.of("orders"), known.samples.of("orders_oldest_age_seconds")
    rows = [
        (*label.split("/"), _number(count), _seconds(ages.get(label, 0.0) if count else 0.0))
        for label, count in sorted(counts.items())
    ]
    doubtful = sum(count for label, count in counts.items() if label.endswith(("/unknown", "/needs_human")))
    state, detail = known.state_of(["orders"])
    if state == "ok" and doubtful:
        state, detail = "bad", f"{_number(doubtful)} orders are unknown or need a person."
    return Panel("orders", "Orders", ("mode", "state", "orders", "oldest"), rows, state, detail, ("orders",))


def _drift(known: _Known) -> Panel:
    count = known.samples.of("account_drifts").get("")
    oldest = known.samples.of("account_drift_oldest_age_seconds").get("")
    state, detail = known.state_of(["account_drifts"])
    if state == "ok" and count:
        state, detail = "bad", f"{_number(count)} balances are not what the ledger says."
    rows = [("balances that differ", _number(count)), ("oldest difference", _seconds(oldest or 0.0))]
    return Panel("drift", "Drift", ("figure", "value"), rows, state, detail, ("drift",))


def _errors(known: _Known) -> Panel:
    recent = counts_since(since=slot_of(known.now) - timedelta(minutes=5))
    hour = counts_since(since=slot_of(known.now) - timedelta(minutes=55))
    services = sorted({label for _, label in hour})
    rows = [
        (service, *_rate(recent, service), *_rate(hour, service)) for service in services
    ]  # fmt: skip
    failing = [service for service in services if recent.get((ERRORS, service), 0)]
    state, detail = ("bad", f"Answers of 500 and above: {', '.join(failing)}.") if failing else ("ok", "")
    columns = ("service", "requests, 10 min", "errors", "requests, 1 h", "errors ")
    return Panel("errors", "Requests and errors", columns, rows, state, detail, ("errors",))


def _rate(counts: Mapping[tuple[str, str], float], service: str) -> tuple[str, str]:
    requests, errors = counts.get((REQUESTS, service), 0.0), counts.get((ERRORS, service), 0.0)
    share = f" ({errors / requests:.2%})" if errors and requests else ""
    return _number(requests), f"{_number(errors)}{share}"


def _budget(known: _Known) -> Panel:
    left = known.samples.of("exchange_budget_left_ratio")
    paused = known.samples.of("exchange_keys_paused").get("")
    names = {"key": "least left to any key", "pair": "least left to any key and pair"}
    rows = [(names.get(scope, scope), f"{ratio:.0%}") for scope, ratio in sorted(left.items())]
    rows.append(("keys paused by the exchange", _number(paused)))
    state, detail = known.state_of(["exchange_budget_left_ratio"])
    if state == "ok" and (paused or any(ratio < 0.1 for ratio in left.values())):
        state, detail = "bad", "Calls to the exchange are held back."
    return Panel("budget", "Exchange budget", ("figure", "value"), rows, state, detail, ("budget",))


def _days(known: _Known) -> Panel:
    by_day: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    volumes: dict[str, list[str]] = defaultdict(list)
    for row in figure_list(since=(known.now - timedelta(days=DAYS - 1)).date()):
        day, value = row.day.isoformat(), Decimal(str(row.value))
        if row.figure == Figure.VOLUME:
            volumes[day].append(f"{plain(value)} {row.asset} {row.mode}")
        else:
            by_day[day][row.figure] += value
    rows = [
        (day, *(_number(by_day[day][figure]) for figure in _COUNTED), "; ".join(volumes[day]) or "–")
        for day in sorted({*by_day, *volumes}, reverse=True)
    ]
    columns = ("UTC day", *(str(figure.label) for figure in _COUNTED), "Volume")
    state, detail = known.states.get("user-consumer.analytics", ("up", ""))
    return Panel(
        "days", "Daily figures", columns, rows, _badly(state != "up"), detail if state != "up" else "",
        ("people", "bots", "trades", "volume"),
    )  # fmt: skip


_PANELS: dict[str, Callable[[_Known], Panel]] = {
    "Queues": _queues,
    "Consumer lag": _consumers,
    "Outbox": _outbox,
    "Orders": _orders,
    "Drift": _drift,
    "Requests and errors": _errors,
    "Exchange budget": _budget,
    "Daily figures": _days,
}


def _badly(is_bad: bool) -> str:
    return "bad" if is_bad else "ok"


def _number(value: float | Decimal | None) -> str:
    return "not measured" if value is None else f"{value:,.0f}"


def _seconds(value: float) -> str:
    if value < 1:
        return "–"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
