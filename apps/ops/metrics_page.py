"""docs/metrics.md: every metric of the platform, written from its declaration."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from itertools import groupby

import apps
from apps.core.markdown import markdown_table
from apps.core.metrics import DECLARED, EVERY, Declaration

_INTRODUCTION = """\
# Metrics

Every process serves Prometheus' text format at `/metrics`: web processes on their own port, all others on the metrics
port that [the process table](architecture.md) names, Flower at `/flower/metrics`. The gateway does not route it: a
scrape comes from the inside. A process that is ending answers 503, or no longer listens. [Operations](operations.md)
says how to run Prometheus and Grafana.

This page is written from the declarations in the code (`manage.py check_contracts --write`); `make check` fails
where it is stale. Dashboards, alerts and recording rules (`docker/prometheus/`, `docker/grafana/`) name these
metrics and those of RabbitMQ below, and no others: a test compares them.

In a process with children (web processes, workers) a scrape adds up what all of them counted, those that have
ended included; a gauge counts living children only. Metrics of a state that several instances see, such as `orders`,
are the same in each: take their maximum, not their sum."""

# What rules and dashboards use of RabbitMQ's plugin rabbitmq_prometheus, port 15692: /metrics and /metrics/detailed.
RABBITMQ: Mapping[str, str] = {
    "rabbitmq_alarms_free_disk_space_watermark": "1 while RabbitMQ takes no message, because its disk is nearly full",
    "rabbitmq_alarms_memory_used_watermark": "1 while RabbitMQ takes no message, because its memory is used up",
    "rabbitmq_disk_space_available_bytes": "what is free on the disk of RabbitMQ's data",
    "rabbitmq_disk_space_available_limit_bytes": "below which RabbitMQ takes no message",
    "rabbitmq_detailed_queue_messages": "messages of a queue, `*.dlq` among them: ready and unacknowledged",
    "rabbitmq_detailed_queue_messages_ready": "messages of a queue that wait",
    "rabbitmq_detailed_queue_consumers": "consumers of a queue",
}
# Of prometheus_client itself, in processes without children
PYTHON: Mapping[str, str] = {
    "process_cpu_seconds_total": "processor time of the process",
    "process_resident_memory_bytes": "memory of the process",
    "process_open_fds": "open files and sockets",
    "process_start_time_seconds": "when the process started, in Unix time",
}


def declarations() -> dict[str, Declaration]:
    """Every metric that a module of the apps declares, by name. Imports all of them."""
    for module in pkgutil.walk_packages(apps.__path__, "apps."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    return dict(sorted((name, each) for name, each in DECLARED.items() if each.module.startswith("apps.")))


def as_markdown() -> str:
    """The whole page."""
    found = sorted(declarations().values(), key=lambda each: (_room(each), each.name))
    parts = [_INTRODUCTION]
    for room, declared in groupby(found, key=_room):
        parts += [f"## {room}", _table(declared)]
    parts += ["## RabbitMQ", _servers(RABBITMQ), "## Python", _servers(PYTHON)]
    return "\n\n".join(parts) + "\n"


def _room(declared: Declaration) -> str:
    return declared.module.split(".")[1]


def _table(declared: Iterable[Declaration]) -> str:
    rows = [
        (
            f"`{each.name}`",
            each.kind,
            ", ".join(each.labels) or "–",
            each.text,
            _processes(each),
            f"`{each.module.replace('.', '/')}.py`",
        )
        for each in declared
    ]
    return markdown_table(("metric", "type", "labels", "what", "processes", "declared in"), rows)


def _processes(declared: Declaration) -> str:
    return "every process" if set(declared.processes) == set(EVERY) else ", ".join(declared.processes)


def _servers(metrics: Mapping[str, str]) -> str:
    return markdown_table(("metric", "what"), [(f"`{name}`", text) for name, text in metrics.items()])
