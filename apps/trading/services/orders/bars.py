"""What bars the orders of a run: halts of its bot, key, user or the platform, and requested stops."""

from apps.risk.selectors import OrderBar, order_bar
from apps.risk.services.locks import hold_shared
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import RunLease


def halts_hold(lease: RunLease) -> None:
    """Bars changes of the halts and of the switch that cover the run, until the end of the transaction.

    Call it before the run is locked (`apps/risk/services/locks.py`).
    """
    run = BotRun.objects.only("bot_id", "credential_id", "user_id").get(id=lease.run_id)
    hold_shared(bot_id=run.bot_id, credential_id=run.credential_id, user_id=run.user_id)


def order_bar_of(run: BotRun, side: str) -> OrderBar | None:
    """Why an order of the run on this side may not be sent now, or None."""
    return order_bar(
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        user_id=run.user_id,
        side=side,
        requested_at=run.requested_at,
        is_flatten=run.state == RunState.FLATTENING,
    )
