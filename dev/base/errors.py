"""Errors of the starter: cause, log and advice."""

from collections.abc import Sequence
from pathlib import Path

LOG_LINES = 15


class StackError(Exception):
    """`cause` is a sentence, `log` a file whose end explains it, `advice` says what to do."""

    def __init__(self, cause: str, *, log: Path | None = None, advice: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.log = log
        self.advice = advice

    def lines(self) -> list[str]:
        """The lines to show."""
        shown = [self.cause]
        if self.log is not None:
            shown += log_tail(self.log)
        if self.advice:
            shown.append(f"What to do: {self.advice}")
        return shown


class Cancelled(Exception):
    """Another step failed, or Ctrl-C was pressed: this step ends without its own report."""


def log_tail(log: Path, count: int = LOG_LINES) -> Sequence[str]:
    """The last lines of a log, indented, under a line that names the file."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    last = [line[:300] for line in text.splitlines() if line.strip()][-count:]
    return [f"The end of {log}:", *(f"    {line}" for line in last)] if last else []
