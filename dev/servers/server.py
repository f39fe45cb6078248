"""Description of a server for the starter."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.base.profile import Profile


@dataclass(frozen=True)
class Launch:
    """A process to start: the command, the folder it works in, and what is special about its environment."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True)
class Server:
    """`name` is its key everywhere: ports, URLs, logs. `prepare` may be interrupted at any point and runs again."""

    name: str
    title: str
    ports: tuple[str, ...]
    prepare: Callable[[Profile], None]
    launch: Callable[[Profile], Launch]
    # The program (comm in /proc) that gets the stop signal
    program: str
    stop_signal: signal.Signals
    start_seconds: float = 45.0
    stop_seconds: float = 20.0
    # A process that must run first (Erlang's port mapper) and is stopped after the server
    before: Callable[[Profile], Launch] | None = None
    before_name: str = ""
    # Shown behind its address
    remark: Callable[[Profile], str] = lambda _: ""

    def names(self) -> tuple[str, ...]:
        """The names its processes run under."""
        return (self.name, self.before_name) if self.before_name else (self.name,)
