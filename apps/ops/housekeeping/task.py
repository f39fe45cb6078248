"""A piece of housekeeping."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from apps.core.errors import PlatformError


class Lane(StrEnum):
    """Tasks of one lane run one after the other, in a thread and under a lease of their own."""

    TABLES = "tables"
    # These wait for other services and brokers, which may not answer.
    CALLS = "calls"


class HousekeepingProblem(PlatformError):
    """A task found something that a person has to put right. The message says what, and how."""

    code = "housekeeping_problem"
    http_status = 500


@dataclass(frozen=True)
class Task:
    """`run` does a bounded piece of work and returns how much it did: rows, steps. It is called again at once until
    that is 0, and then every `interval`. It is idempotent, may be cut off anywhere, and may run beside itself. What it
    raises is shown in health and metrics, and it is tried again."""

    name: str
    lane: Lane
    interval: timedelta
    run: Callable[[datetime], int]
