"""Management commands that were renamed: the old name works for one release more and says the new one."""

from typing import Any

from django.core.management.base import BaseCommand


def renamed(command: type[BaseCommand], *, old: str, new: str) -> type[BaseCommand]:
    """The same command for the file of its old name: ``Command = renamed(relay.Command, old=…, new=…)``."""

    class Renamed(command):  # type: ignore[valid-type, misc]
        help = f"The old name of `{new}`, for one release more."

        def execute(self, *args: Any, **options: Any) -> Any:
            self.stderr.write(f"manage.py {old} is now called {new}. The old name will go with the next release.")
            return super().execute(*args, **options)

    return Renamed
