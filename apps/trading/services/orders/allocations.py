"""The account's sub-ledger follows the bots: their budgets, their positions and what is booked of their orders."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from apps.core.terms import Side
from apps.exchange.types import ZERO, Balance
from apps.risk.models.accounts import Account
from apps.risk.services.accounts import (
    Share,
    account_book,
    account_changed,
    account_get_for_update,
    account_open,
    allocation_begin,
    allocation_follow,
    allocation_release,
)
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import DOUBTFUL_STATES, RESTING_STATES
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun, RunState
from apps.trading.services.orders.positions import position_get

# A sale that takes the market may bring more than its limit: the limit is half a percent below the best price.
BETTER_THAN_LIMIT = Decimal("1.01")


def account_hold(run: BotRun) -> Account:
    """The account of the run, locked. After positions and orders, before anything is published."""
    return account_get_for_update(credential_id=run.credential_id, user_id=run.user_id)


def budget_allocate(
    account: Account, run: BotRun, position: Position, *, balances: Mapping[str, Balance], now: datetime
) -> None:
    """Gives the run its budget. `balances` are the exchange's, read since the last change of the account.

    Raises BudgetExceedsAccount.
    """
    orders = OrderIntent.objects.filter(credential_id=run.credential_id, state__in=[*DOUBTFUL_STATES, *RESTING_STATES])
    if account.compared_at is None and not orders.exists():
        account_open(account, balances, now=now)
    allocation_begin(
        account,
        _share(position),
        budget=run.definition.quote_budget,
        balances=balances,
        in_flight=_in_flight(orders, position.quote_asset, except_bot=run.bot_id),
        reserved=orders.aggregate(sum=Sum("reserved_quote"))["sum"] or ZERO,
        now=now,
    )


def budget_release(run: BotRun, *, now: datetime) -> None:
    """Ends the run's allocation of cash. Its coins stay the bot's."""
    account = account_hold(run)
    # Read under the account's lock: a booking that comes after it follows by itself.
    allocation_release(account, _share(position_get(run)), now=now)


def position_follow(
    account: Account, run: BotRun, position: Position, *, changes: Mapping[str, Decimal] | None = None
) -> None:
    """Brings the bot's share in line with its position, and books the changes of balances that its fills made."""
    is_live = RunState(run.state).is_live
    allocation_follow(account, _share(position), budget=run.definition.quote_budget if is_live else None)
    if changes:
        account_book(account, changes)
    account_changed(account)


def share_ensure(account: Account, position: Position) -> None:
    """The bot's share where it was at work before there were shares."""
    run = BotRun.objects.filter(bot_id=position.bot_id, state__in=LIVE_RUNS).first()
    allocation_follow(account, _share(position), budget=run.definition.quote_budget if run else None)


def _share(position: Position) -> Share:
    return Share(
        bot_id=position.bot_id,
        pair=position.pair,
        base_asset=position.base_asset,
        quote_asset=position.quote_asset,
        base_volume=position.base_volume,
        quote_spent=position.quote_spent,
        quote_reserved=position.quote_reserved,
    )


def _in_flight(orders: QuerySet[OrderIntent], quote_asset: str, *, except_bot: UUID) -> Decimal:
    """The most that other bots' open sales may bring: executed parts are in the balance before they are booked."""
    sales = orders.filter(side=Side.SELL).exclude(bot_id=except_bot)
    pairs = Position.objects.filter(bot_id__in=sales.values("bot_id"), quote_asset=quote_asset).values("pair")
    worth = sales.filter(pair__in=pairs).aggregate(sum=Sum(F("price") * (F("volume") - F("filled_volume"))))["sum"]
    return (worth or ZERO) * BETTER_THAN_LIMIT
