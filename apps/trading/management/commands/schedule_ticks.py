"""The old name of `run_scheduler`, for one release more."""

from apps.core.renamed_command import renamed
from apps.trading.management.commands import run_scheduler

Command = renamed(run_scheduler.Command, old="schedule_ticks", new="run_scheduler")
