"""Declares the Prometheus metrics of the platform. Each is declared once, by the module that sets it.

`docs/metrics.md` is written from these declarations (`manage.py check_contracts --write`), and dashboards and alert
rules may name no other metric. Names follow https://prometheus.io/docs/practices/naming/: counters end in `_total`,
units are base units and part of the name.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from apps.core.process_table import PROCESSES

WEB = tuple(name for name, process in PROCESSES.items() if process.kind == "web")
WORKERS = tuple(name for name, process in PROCESSES.items() if process.kind == "worker")
# The verifier and the housekeeping have measures of their own: nothing waits for them.
WITH_PROGRESS = tuple(
    name for name, process in PROCESSES.items() if process.has_heartbeat and name not in {"verifier", "housekeeping"}
)
# Every process of ours; Flower and the gateway have metrics of their own or none.
EVERY = tuple(name for name, process in PROCESSES.items() if process.kind == "web" or process.has_heartbeat)

# Where nothing else is known of a duration: 5 ms to 10 s
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Of waits that may last while a server is down
WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0)

# How the values of a gauge in several child processes become one. A child that has ended no longer counts.
Children = Literal["livesum", "livemax", "livemin", "livemostrecent"]


@dataclass(frozen=True)
class Declaration:
    """A metric as a scrape shows it, the processes that set it, and the module that declares it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...]
    processes: tuple[str, ...]
    module: str

    @property
    def family(self) -> str:
        """The name without a counter's `_total`."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


DECLARED: dict[str, Declaration] = {}


def counter(name: str, text: str, labels: Sequence[str] = (), *, processes: Sequence[str]) -> Counter:
    """A number that only grows, from 0 at the start of the process. Raises ValueError for a name without `_total`."""
    if not name.endswith("_total"):
        raise ValueError(f"{name}: a counter's name ends in _total.")
    _declare(name, "counter", text, labels, processes)
    return Counter(name, text, labels)


def gauge(
    name: str, text: str, labels: Sequence[str] = (), *, processes: Sequence[str], children: Children = "livemax"
) -> Gauge:
    """A number that goes up and down."""
    _declare(name, "gauge", text, labels, processes)
    return Gauge(name, text, labels, multiprocess_mode=children)


def histogram(
    name: str,
    text: str,
    labels: Sequence[str] = (),
    *,
    processes: Sequence[str],
    buckets: Sequence[float] = SECONDS,
) -> Histogram:
    """How often a value lay in which bucket; `buckets` are upper bounds."""
    _declare(name, "histogram", text, labels, processes)
    return Histogram(name, text, labels, buckets=buckets)


def _declare(
    name: str,
    kind: Literal["counter", "gauge", "histogram"],
    text: str,
    labels: Sequence[str],
    processes: Sequence[str],
) -> None:
    if unknown := set(processes) - set(PROCESSES):
        raise ValueError(f"{name}: the process table has no {', '.join(sorted(unknown))}.")
    caller = inspect.currentframe()
    for _ in range(2):
        caller = caller.f_back if caller else None
    module = str(caller.f_globals.get("__name__", "")) if caller else ""
    DECLARED[name] = Declaration(name, kind, text, tuple(labels), tuple(processes), module)
