"""Each process of the process table, by its heartbeat or its answer."""

from collections.abc import Iterator
from datetime import datetime

from apps.ops.health import platform_health
from apps.ops.verification.outcome import Outcome, problem

_ADVICE = "See its log, and docs/troubleshooting.md for what it says."


def processes(now: datetime) -> Iterator[Outcome]:
    """As `GET /health` has them, with their hosts."""
    _, body = platform_health(now=now)
    for each in body["dependencies"]:
        if each["name"] in ("postgresql", "redis"):
            continue
        check = f"process {each['name']}"
        if each["state"] == "up":
            yield Outcome(check, True, each["detail"])
        else:
            yield problem(check, each["detail"] or each["state"], _ADVICE)
