"""The old name of `smoke_test`, for one release."""

from typing import Any

from apps.ops.management.commands import smoke_test


class Command(smoke_test.Command):
    help = "The old name of smoke_test; the next release does not have it."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stderr.write("The command walk is called smoke_test now; the next release does not know the old name.")
        super().handle(*args, **options)
