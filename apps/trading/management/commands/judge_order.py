from apps.core.renamed_command import renamed
from apps.trading.management.commands import resolve_order

Command = renamed(resolve_order.Command, old="judge_order", new="resolve_order")
