"""The old name of `run_status_consumer`, for one release more."""

from apps.core.renamed_command import renamed
from apps.events.management.commands import run_status_consumer

Command = renamed(run_status_consumer.Command, old="consume_status", new="run_status_consumer")
