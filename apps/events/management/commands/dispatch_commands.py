"""The old name of `run_dispatcher`, for one release more."""

from apps.core.renamed_command import renamed
from apps.events.management.commands import run_dispatcher

Command = renamed(run_dispatcher.Command, old="dispatch_commands", new="run_dispatcher")
