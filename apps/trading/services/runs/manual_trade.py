"""Manual trades: a user asks a running bot to trade now."""

from datetime import datetime

from django.db import transaction

from apps.core.money import plain
from apps.core.terms import Side
from apps.events.commands.delivery import Delivery
from apps.events.commands.executions import result_set
from apps.exchange.errors import NotSent
from apps.messages.bots import TriggerTrade
from apps.risk.live_trading import LiveTradingDisabled, refuse_live_trading
from apps.strategies.base import OrderPlan
from apps.trading.errors import BotNotRunning, OrderBarred, OrderRejected, RunNotTrading, StrategyHolds, TradeRefused
from apps.trading.limits import RiskRejection
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.run_lease import RunLease, run_lease_wait
from apps.trading.services.orders.lifecycle import intents_recover
from apps.trading.services.orders.placement import Placement
from apps.trading.services.orders.receipts import refused_result, trade_result
from apps.trading.services.runs.decisions import plan_execute, plans_for
from apps.trading.services.runs.histories import refuse_unreconciled
from apps.trading.services.runs.situation import Situation, situation_of
from apps.trading.services.runs.start import refuse_deleted
from apps.trading.services.runs.tick import open_orders_update

# Failures that say no, as opposed to those that kept the platform from asking.
_REFUSALS = (
    BotNotRunning,
    LiveTradingDisabled,
    OrderBarred,
    OrderRejected,
    RunNotTrading,
    StrategyHolds,
    TradeRefused,
)
REFUSALS = frozenset(each.code for each in _REFUSALS)


def trade_trigger(*, command: TriggerTrade, context: ExecutionContext = LIVE_CONTEXT) -> None:
    """Places the order that was asked for, or the strategy's own. At most one order, however often it is called.

    Raises CommandDropped where the bot was deleted, BotNotRunning, LiveTradingDisabled, StrategyHolds, TradeRefused,
    OrderRejected; BotBusy, HistoryNotReconciled and what reads raise, where a later attempt may help.
    """
    refuse_deleted(command.bot_id)
    run = BotRun.objects.filter(bot_id=command.bot_id, user_id=command.user_id, state=RunState.RUNNING).first()
    if run is None:
        raise BotNotRunning("The bot is not running, so it cannot trade.", bot_id=str(command.bot_id))
    if command.side != Side.SELL:
        refuse_live_trading(run.mode)
    refuse_unreconciled(now=context.clock())
    with run_lease_wait(run_id=run.id, context=context) as lease:
        run = lease.run
        deps = context.deps(run)
        situation = situation_of(run, now=deps.clock())
        if situation.has_orders:
            intents_recover(lease=lease, now=deps.clock())
            open_orders_update(run, deps=deps)
            situation = situation_of(run, now=deps.clock())
        asked = OrderIntent.objects.filter(command_id=command.command_id).exclude(state=IntentState.NOT_PLACED)
        if not asked.exists():
            _trade(command, run, lease, deps, situation)


@transaction.atomic
def trade_complete(*, command: TriggerTrade, delivery: Delivery, now: datetime) -> None:
    """Completes the command with what the trade came to."""
    delivery.complete(now=now, result=trade_result(command.command_id))


def trade_result_failed(*, command: TriggerTrade, code: str, message: str) -> None:
    """Stores why a trade was not made, with its orders, if there are any. The caller has marked the command failed."""
    result = trade_result(command.command_id, code=code, message=message)
    if result is None:
        outcome = "refused" if code in REFUSALS else "not_sent"
        result = refused_result(outcome=outcome, code=code, message=message)
    result_set(command_id=command.command_id, result=result)


def _trade(command: TriggerTrade, run: BotRun, lease: RunLease, deps: Dependencies, situation: Situation) -> None:
    instrument = deps.market.instrument(run.pair).value
    # The candles that the bots share, which have the last one that closed, save a call before the order.
    seen_at = situation.candle_seen_at if situation.is_watched else None
    candles = deps.market.ohlc(run.pair, run.interval_minutes, not_before=seen_at).value.closed
    if command.side is not None:
        plans = [OrderPlan(side=Side(command.side), quote_amount=command.quote_amount, reason="asked for")]
    else:
        plans = plans_for(run, candles, instrument, situation, is_asked=True) if candles else []
    if not plans:
        raise StrategyHolds("The strategy sees nothing to trade now.")
    for plan in plans:
        result = plan_execute(
            plan,
            run=run,
            lease=lease,
            instrument=instrument,
            deps=deps,
            candle_at=candles[-1].opened_at if candles else None,
            candles=candles,
            command_id=command.command_id,
        )
        _refuse(result)


def _refuse(result: Placement | RiskRejection | None) -> None:
    if isinstance(result, RiskRejection):
        raise TradeRefused(result.message, rule=result.code, **_figures(result))
    if isinstance(result, Placement) and result.rejection is not None:
        raise OrderRejected(result.rejection.message, rule=result.rejection.code)
    if isinstance(result, Placement) and result.over_budget is not None:
        raise result.over_budget
    if isinstance(result, Placement) and result.intent.state == IntentState.NOT_PLACED:
        raise NotSent("The exchange could not be reached; nothing was sent.")


def _figures(rejection: RiskRejection) -> dict[str, str]:
    figures = rejection.figures
    if figures is None:
        return {}
    return {"limit": plain(figures.limit), "actual": plain(figures.actual), "unit": figures.unit}
