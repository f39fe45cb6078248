"""The old name of `run_relay`, for one release more."""

from apps.core.renamed_command import renamed
from apps.events.management.commands import run_relay

Command = renamed(run_relay.Command, old="relay_events", new="run_relay")
