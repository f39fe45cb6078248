"""What bars the orders of a run: halts, requested stops, the live switch, and caps on live trading.

Both the decision and the transaction that marks an order as being sent ask here.
"""

from datetime import datetime
from decimal import Decimal

from apps.core.terms import Side
from apps.exchange.types import ZERO
from apps.risk.caps import entry_breach
from apps.risk.live_trading import DISABLED, LiveTradingDisabled, is_live_trading_refused
from apps.risk.selectors import OrderBar, order_bar
from apps.risk.services.locks import hold_shared
from apps.trading.limits import Figures, RiskRejection
from apps.trading.models.ledger import Position
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import RunLease


def halts_hold(lease: RunLease) -> None:
    """Bars changes of halts, stops, the live switch and caps that cover the run, until the end of the transaction.

    Call it before the run is locked (`apps/risk/services/locks.py`).
    """
    run = lease.run  # whose account a run trades on never changes
    hold_shared(bot_id=run.bot_id, credential_id=run.credential_id, user_id=run.user_id)


def order_bar_of(run: BotRun, side: str) -> OrderBar | None:
    """Why an order of the run on this side may not be sent now, or None. With live trading off a live bot may sell."""
    if side == Side.BUY and is_live_trading_refused(run.mode):
        return OrderBar(LiveTradingDisabled.code, DISABLED)
    return order_bar(
        bot_id=run.bot_id,
        credential_id=run.credential_id,
        user_id=run.user_id,
        side=side,
        requested_at=run.requested_at,
        is_flatten=run.state == RunState.FLATTENING,
    )


def cap_rejection(
    run: BotRun, position: Position, *, price: Decimal, volume: Decimal, reserved: Decimal = ZERO, now: datetime
) -> RiskRejection | None:
    """The cap on live trading that a purchase would break, at its highest price.

    `reserved` is what the purchase itself reserves of the position's quote asset already.
    """
    breach = entry_breach(
        run.mode,
        user_id=run.user_id,
        bot_id=run.bot_id,
        asset=position.quote_asset,
        cost=price * volume,
        position_value=position.base_volume * price + position.quote_reserved - reserved,
        quote_budget=run.definition.quote_budget,
        now=now,
    )
    if breach is None:
        return None
    return RiskRejection(breach.code, breach.message, Figures(breach.limit, breach.actual, breach.asset))
