"""Progress bar for commands that process many events."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Show(Protocol):
    def __call__(self, events: int, of: int | None = None, step: str | None = None) -> None: ...


@contextmanager
def counted(step: str) -> Iterator[Show]:
    """Progress bar on standard error, if that is a terminal. Yields the function that updates it."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeElapsedColumn()
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(step, total=None)

        def show(events: int, of: int | None = None, step: str | None = None) -> None:
            bar.update(task, completed=events, total=of, description=step)

        yield show
