"""Figures of a measurement, kept for the page of benchmarks: one line of JSON each, below .local/bench.

`python -m dev.docs.benchmarks --write` makes docs/benchmarks.md of them; `make bench` and `make load` end with it.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import psycopg2
from django.conf import settings
from kombu import Connection
from redis import Redis

from dev.docs.benchmarks import FIGURES
from dev.servers.kafka_jars import jars

Better = Literal["higher", "lower"]


def record_figure(
    name: str,
    samples: float | Sequence[float],
    unit: str,
    *,
    better: Better,
    goal: float | None = None,
    note: str = "",
) -> None:
    """Keeps a figure of the running test. `samples`: one for each round; `goal`: in the same unit; `note`: what it is
    measured beside, or with which sizes."""
    rounds = [samples] if isinstance(samples, int | float) else list(samples)
    test = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0]
    line = {
        "test": test,
        "name": name,
        "unit": unit,
        "better": better,
        "goal": goal,
        "note": note,
        "samples": [float(f"{sample:.5g}") for sample in rounds],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 1),
        "machine": machine(),
    }
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    with FIGURES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@cache
def machine() -> dict[str, str]:
    """What the figures were measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": sys.version.split()[0],
        **_servers(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _servers() -> dict[str, str]:
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
        postgresql = str(connection.server_version)
    with Connection(settings.ENVIRONMENT.rabbitmq_url) as opened:
        opened.connect()
        rabbitmq = opened.connection.server_properties["version"]
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        redis = str(client.info("server")["redis_version"])
    return {
        "PostgreSQL": f"{postgresql[:-4]}.{int(postgresql[-4:])}",
        "RabbitMQ": rabbitmq,
        "Redis": redis,
        "Kafka": jars.VERSION,
    }
