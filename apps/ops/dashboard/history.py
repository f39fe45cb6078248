"""The lines of the dashboard's plots: seven days of samples at most, and the figures of each day."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection

from apps.analytics.models import DailyFigure
from apps.analytics.selectors import figure_list
from apps.core.samples import KEPT_FOR

DAYS = 30
LONGEST = KEPT_FOR
Figure = DailyFigure.Figure


@dataclass(frozen=True)
class _Plot:
    """A plot of samples. `line` and `value` are SQL over figure_sample; rows of one line and slot are aggregated."""

    id: str
    title: str
    figures: tuple[str, ...]
    line: str
    value: str
    where: str = "true"


_PLOTS = (
    _Plot(
        "queues", "Messages ready", ("queue_messages",),
        "CASE WHEN label LIKE '%%.dlq' THEN 'dead letters' WHEN label LIKE 'muckard.%%' THEN 'retries' ELSE 'work' END",
        "sum(most)",
    ),
    _Plot("lag", "Events behind", ("consumer_lag",), "split_part(label, '/', 1)", "sum(most)"),
    _Plot("outbox", "Oldest message, seconds", ("outbox_oldest_age_seconds",), "label", "max(most)"),
    _Plot(
        "orders", "Orders in doubt", ("orders",), "split_part(label, '/', 2)", "sum(most)",
        "split_part(label, '/', 2) IN ('unknown', 'needs_human')",
    ),
    _Plot("drift", "Balances that differ", ("account_drifts",), "'balances'", "max(most)"),
    _Plot("errors", "Answers of 500 and above, in five minutes", ("http_errors",), "label", "sum(value)"),
    _Plot("budget", "Budget left, percent", ("exchange_budget_left_ratio",), "label", "100 * min(least)"),
)  # fmt: skip
_DAILY = {
    "people": ("People", (Figure.REGISTRATIONS, Figure.LOG_INS, Figure.ONBOARDINGS, Figure.KEYS)),
    "bots": ("Bots", (Figure.BOTS, Figure.STARTS, Figure.ERRORS)),
    "trades": ("Trades", (Figure.TRADES,)),
    "volume": ("Volume", (Figure.VOLUME,)),
}
_SELECT = """
SELECT extract(epoch FROM slot)::bigint, {line} AS line, {value}
  FROM figure_sample WHERE figure = ANY(%s) AND slot >= %s AND {where} GROUP BY slot, line ORDER BY slot
"""


def plots(*, now: datetime, back: timedelta) -> list[dict[str, Any]]:
    """Each plot with its times (Unix, seconds) and lines; null where a line has no value. Raises DatabaseError."""
    since = now - min(back, LONGEST)
    return [*(_sampled(plot, since) for plot in _PLOTS), *_daily(now)]


def _sampled(plot: _Plot, since: datetime) -> dict[str, Any]:
    statement = _SELECT.format(line=plot.line, value=plot.value, where=plot.where)
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(plot.figures), since])
        points = {(line, moment): float(value) for moment, line, value in cursor.fetchall()}
    return _as_plot(plot.id, plot.title, points)


def _daily(now: datetime) -> Iterator[dict[str, Any]]:
    rows = figure_list(since=(now - timedelta(days=DAYS - 1)).date())
    for plot_id, (title, figures) in _DAILY.items():
        points: dict[tuple[str, int], float] = defaultdict(float)
        for row in rows:
            if row.figure in figures:
                label = " ".join(filter(None, (str(Figure(row.figure).label), row.asset, row.mode)))
                points[label, int(datetime.combine(row.day, time(), UTC).timestamp())] += float(str(row.value))
        yield {**_as_plot(plot_id, title, points), "is_daily": True}


def _as_plot(plot_id: str, title: str, points: dict[tuple[str, int], float]) -> dict[str, Any]:
    times = sorted({moment for _, moment in points})
    lines = sorted({line for line, _ in points})
    return {
        "id": plot_id,
        "title": title,
        "times": times,
        "lines": [{"label": line, "values": [points.get((line, moment)) for moment in times]} for line in lines],
    }
