"""The old name of `run_event_consumer`, for one release more."""

from apps.core.renamed_command import renamed
from apps.events.management.commands import run_event_consumer

Command = renamed(run_event_consumer.Command, old="consume_events", new="run_event_consumer")
