"""The old name of `run_retry_router`, for one release more."""

from apps.core.renamed_command import renamed
from apps.events.management.commands import run_retry_router

Command = renamed(run_retry_router.Command, old="route_failures", new="run_retry_router")
