"""The old name of `run_reconciler`, for one release more."""

from apps.core.renamed_command import renamed
from apps.trading.management.commands import run_reconciler

Command = renamed(run_reconciler.Command, old="reconcile_orders", new="run_reconciler")
