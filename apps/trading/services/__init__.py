"""What the bot service does: the only writers of this app's tables."""

from apps.trading.services.histories import history_is_reconciled, history_reconcile
from apps.trading.services.judgement import order_judge
from apps.trading.services.reconciliation import orders_reconcile
from apps.trading.services.schedule import runs_take_due
from apps.trading.services.starts import run_start
from apps.trading.services.stops import run_stop
from apps.trading.services.ticks import TickOutcome, tick_run
from apps.trading.services.triggers import trade_trigger

__all__ = [
    "TickOutcome",
    "history_is_reconciled",
    "history_reconcile",
    "order_judge",
    "orders_reconcile",
    "run_start",
    "run_stop",
    "runs_take_due",
    "tick_run",
    "trade_trigger",
]
