"""Broker topology as code: `manage.py declare_topology` creates it, `--check` reports differences."""

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
    """State of one broker object: its name ("queue bot.start"), whether it is as declared, and what differs."""

    what: str
    state: State
    detail: str = ""

    @property
    def is_drift(self) -> bool:
        """Whether the object is missing, differs, or could not be checked."""
        return self.state in (State.MISSING, State.DIFFERS, State.UNKNOWN)
