"""The old name of `run_checkpointer`, for one release more."""

from apps.audit.management.commands import run_checkpointer
from apps.core.renamed_command import renamed

Command = renamed(run_checkpointer.Command, old="seal_audit", new="run_checkpointer")
