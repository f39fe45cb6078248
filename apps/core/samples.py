"""Samples of the platform's figures, seven days of them: what the staff site plots without a Prometheus.

A process keeps the gauges that it has anyway; nothing is measured a second time. Web processes add up their requests.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry

from apps.core.expiry import delete_batch
from apps.core.metrics import DECLARED, WEB
from apps.core.models import FigureSample
from apps.core.process_table import PROCESSES

log = structlog.get_logger(__name__)

SLOT = timedelta(minutes=5)
KEPT_FOR = timedelta(days=7)
SECONDS_BETWEEN_COUNTS = 10.0

# Gauges whose values are kept, with the labels that stay; over the others they are added up.
KEPT: Mapping[str, tuple[str, ...]] = {
    "outbox_oldest_age_seconds": ("transport",),
    "outbox_pending": ("transport",),
    "outbox_parked_keys": ("transport",),
    "queue_messages": ("queue",),
    "consumer_lag": ("group", "topic", "partition"),
    "consumer_dead_letters_waiting": ("group",),
    "orders": ("mode", "state"),
    "orders_oldest_age_seconds": ("mode", "state"),
    "account_drifts": (),
    "account_drift_oldest_age_seconds": (),
    "exchange_budget_left_ratio": ("scope",),
    "exchange_keys_paused": (),
}
# What web processes count, by service; `http_errors` are answers of 500 and above.
REQUESTS, ERRORS = "http_requests", "http_errors"

# Figure and label, the kept labels' values joined by a slash.
Series = tuple[str, str]

_WRITE = """
INSERT INTO figure_sample (figure, label, slot, value, least, most, at)
SELECT figure, label, %s, value, value, value, %s FROM unnest(%s::text[], %s::text[], %s::float8[])
       AS sample (figure, label, value)
 ORDER BY figure, label
ON CONFLICT (figure, label, slot) DO UPDATE SET at = excluded.at,
"""
_LAST = """
    value = excluded.value, least = least(figure_sample.least, excluded.value),
    most = greatest(figure_sample.most, excluded.value)
"""
_SUM = """
    value = figure_sample.value + excluded.value, least = figure_sample.value + excluded.value,
    most = figure_sample.value + excluded.value
"""


def slot_of(moment: datetime) -> datetime:
    """The beginning of the five minutes that the moment is in."""
    seconds = int(SLOT.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, tz=UTC)


def gauges_kept(process: str) -> list[str]:
    """The names of the kept gauges that the process sets."""
    return [name for name in KEPT if name in DECLARED and process in DECLARED[name].processes]


def gauges_read(names: Iterable[str], registry: CollectorRegistry = REGISTRY) -> dict[Series, float]:
    """The present values of these gauges in this process; without those that it has not set yet."""
    values: dict[Series, float] = {}
    for family in registry.restricted_registry(names).collect():
        for sample in family.samples:
            series = (sample.name, "/".join(sample.labels[label] for label in KEPT[sample.name]))
            values[series] = values.get(series, 0.0) + sample.value
    return values


def samples_write(values: Mapping[Series, float], *, now: datetime) -> None:
    """Writes present values into their slot. Raises DatabaseError."""
    _execute(_LAST, values, now)


def counts_add(values: Mapping[Series, float], *, now: datetime) -> None:
    """Adds counts of one process to those of the others in the present slot. Raises DatabaseError."""
    _execute(_SUM, values, now)


def samples_purge(*, now: datetime) -> int:
    """Deletes a batch of samples that are too old. Returns how many: call it again until that is 0."""
    return delete_batch(FigureSample.objects.filter(slot__lt=now - KEPT_FOR))


def _execute(how: str, values: Mapping[Series, float], now: datetime) -> None:
    if not values:
        return
    figures, labels = zip(*values, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_WRITE + how, [slot_of(now), now, list(figures), list(labels), list(values.values())])


class RequestCounts:
    """Requests and errors of one web process. Each request is counted; they are written every ten seconds, with one of
    the requests. `clock` is monotonic."""

    def __init__(self, process: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        # A process without a database, such as the console, has nowhere to write.
        self._is_on = process in WEB and "postgres" in PROCESSES[process].needs
        self._label = process
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Series] = Counter()
        self._written_at = clock()

    def add(self, status: int) -> None:
        """Never raises: while the database does not answer, the counts are kept for later."""
        if not self._is_on:
            return
        with self._lock:
            self._counts[REQUESTS, self._label] += 1
            self._counts[ERRORS, self._label] += status >= 500
            if self._clock() - self._written_at < SECONDS_BETWEEN_COUNTS:
                return
            self._written_at = self._clock()
            counts, self._counts = self._counts, Counter()
        try:
            counts_add(counts, now=timezone.now())
        except Error as error:
            log.warning("request_counts_not_written", error=type(error).__name__)
            with self._lock:
                self._counts += counts


def gauges_sample() -> None:
    """Writes this process's kept gauges. Raises DatabaseError."""
    samples_write(gauges_read(gauges_kept(settings.PROCESS)), now=timezone.now())
