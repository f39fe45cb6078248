"""What the brokers must have, as code: `manage.py declare_topology` makes it so, `--check` reports what differs."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    CREATED = "created"
    CHANGED = "changed"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One object of a broker: what it is ("queue bot.start"), whether it is as declared, and what differs."""

    what: str
    state: State
    detail: str = ""

    @property
    def is_drift(self) -> bool:
        """Whether the broker differs from the code."""
        return self.state in (State.MISSING, State.DIFFERS, State.UNKNOWN)
