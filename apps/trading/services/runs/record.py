"""What a bot has done and lost so far, for the limits of its orders."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from apps.core.terms import Mode, Side
from apps.exchange.types import Candle
from apps.trading.limits import Record
from apps.trading.models.equity import ProfitMark
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun


def record_of(
    run: BotRun, position: Position, *, price: Decimal, price_as_of: datetime, last: Candle | None, now: datetime
) -> Record:
    """The record at this price of the base asset, in quote. `last` is the last closed candle."""
    profit = position.base_volume * price - position.quote_spent
    mark = profit_mark(run, profit=profit, now=now)
    buying = OrderIntent.objects.filter(bot_id=run.bot_id, side=Side.BUY).exclude(state=IntentState.NOT_PLACED)
    return Record(
        budget=run.definition.quote_budget,
        last_close=last.close if last else None,
        data_age_seconds=_age_seconds(run, price_as_of=price_as_of, last=last, now=now),
        purchases_last_minute=buying.filter(planned_at__gt=now - timedelta(minutes=1)).count(),
        daily_loss=max(Decimal(0), mark.day_profit - profit),
        drawdown=max(Decimal(0), mark.peak_profit - profit),
        base_held=position.base_volume,
    )


@transaction.atomic
def profit_mark(run: BotRun, *, profit: Decimal, now: datetime) -> ProfitMark:
    """The marks of the bot's profit, moved to this profit where a day has begun or it is the highest."""
    today = now.astimezone(UTC).date()
    key = {"bot_id": run.bot_id, "credential_id": run.credential_id, "pair": run.pair}
    defaults = {"day": today, "day_profit": profit, "peak_profit": max(profit, Decimal(0))}
    mark, is_new = ProfitMark.objects.select_for_update().get_or_create(**key, defaults=defaults)
    if is_new or (mark.day >= today and mark.peak_profit >= profit):
        return mark
    if mark.day < today:
        mark.day, mark.day_profit = today, profit
    mark.peak_profit = max(mark.peak_profit, profit)
    mark.save()
    return mark


def _age_seconds(run: BotRun, *, price_as_of: datetime, last: Candle | None, now: datetime) -> Decimal:
    """The age of the price, or, on a live market, of the candle that should have closed since the last one.

    The paper market's candles have a time of their own.
    """
    ages = [now - price_as_of]
    if run.mode == Mode.LIVE and last is not None:
        ages.append(now - last.opened_at - 2 * timedelta(minutes=run.definition.interval_minutes))
    return Decimal(max(age.total_seconds() for age in ages))
