"""Renamed management commands: the old name works for one more release and prints the new name."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, OutputWrapper


def renamed(command: type[BaseCommand], *, old: str, new: str) -> type[BaseCommand]:
    """The command for the module with the old name: ``Command = renamed(relay.Command, old=…, new=…)``."""

    class Renamed(command):  # type: ignore[valid-type, misc]
        help = f"The old name of `{new}`, for one more release."

        def execute(self, *args: Any, **options: Any) -> Any:
            said = OutputWrapper(options.get("stderr") or sys.stderr)
            said.write(f"manage.py {old} is now called {new}. The old name will go with the next release.")
            return super().execute(*args, **options)

    return Renamed
