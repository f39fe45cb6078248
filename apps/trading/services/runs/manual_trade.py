"""Trading because somebody asked, now."""

from apps.core.terms import Side
from apps.exchange.errors import NotSent
from apps.messages.bots import TriggerTrade
from apps.strategies.base import OrderPlan
from apps.trading.errors import BotNotRunning, OrderRejected, StrategyHolds, TradeRefused
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.risk import HeldBack
from apps.trading.services.context.dependencies import Desk, Outside
from apps.trading.services.context.live import LIVE
from apps.trading.services.context.run_lease import RunLease, run_lease_wait
from apps.trading.services.orders.lifecycle import intents_recover
from apps.trading.services.orders.placement import Placement
from apps.trading.services.runs.decisions import plan_carry_out, plans_for
from apps.trading.services.runs.histories import refuse_unreconciled
from apps.trading.services.runs.start import refuse_deleted
from apps.trading.services.runs.tick import orders_look_after


def trade_trigger(*, command: TriggerTrade, outside: Outside = LIVE) -> None:
    """Places the order that was asked for, or the one that the strategy wants now. Once, however often it is called.

    Raises CommandDropped where the bot was deleted, BotNotRunning, StrategyHolds, TradeRefused, OrderRejected; BotBusy,
    HistoryNotReconciled and what reads raise, where a later attempt may help.
    """
    refuse_deleted(command.bot_id)
    run = BotRun.objects.filter(bot_id=command.bot_id, user_id=command.user_id, state=RunState.RUNNING).first()
    if run is None:
        raise BotNotRunning("The bot is not running, so it cannot trade.", bot_id=str(command.bot_id))
    refuse_unreconciled(now=outside.clock())
    with run_lease_wait(run_id=run.id, outside=outside) as lease:
        desk = outside.desk(run)
        intents_recover(lease=lease, now=desk.clock())
        orders_look_after(run, desk=desk)
        asked = OrderIntent.objects.filter(command_id=command.command_id).exclude(state=IntentState.NOT_PLACED)
        if not asked.exists():
            _trade(command, run, lease, desk)


def _trade(command: TriggerTrade, run: BotRun, lease: RunLease, desk: Desk) -> None:
    instrument = desk.exchange.instrument(run.pair)
    candles = desk.exchange.ohlc(run.pair, run.definition.interval_minutes).closed
    if command.side is not None:
        plans = [OrderPlan(side=Side(command.side), quote_amount=command.quote_amount, reason="asked for")]
    else:
        plans = plans_for(run, candles, instrument, is_asked=True) if candles else []
    if not plans:
        raise StrategyHolds("The strategy sees nothing to trade now.")
    for plan in plans:
        result = plan_carry_out(
            plan,
            run=run,
            lease=lease,
            instrument=instrument,
            desk=desk,
            candle_at=candles[-1].opened_at if candles else None,
            command_id=command.command_id,
        )
        _refuse(result)


def _refuse(result: Placement | HeldBack | None) -> None:
    if isinstance(result, HeldBack):
        raise TradeRefused(result.message, rule=result.code)
    if isinstance(result, Placement) and result.rejection is not None:
        raise OrderRejected(result.rejection.message, rule=result.rejection.code)
    if isinstance(result, Placement) and result.intent.state == IntentState.NOT_PLACED:
        raise NotSent("The exchange could not be reached; nothing was sent.")
