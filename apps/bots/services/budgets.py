"""Whether the account covers a bot's budget, asked before a start is accepted."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog

from apps.bots.adapters import account_balances, pair_rules_kept
from apps.bots.models import Bot, BotState, BotStatus, CommandKind
from apps.bots.selectors.bots import bot_get, bot_views
from apps.core.errors import PlatformError
from apps.exchange.types import ZERO
from apps.risk.budgets import cover_of, refuse_beyond
from apps.risk.selectors import allocated, bots_with_budget

log = structlog.get_logger(__name__)


def bot_check_budget(*, bot_id: UUID, user_id: UUID, now: datetime) -> None:
    """Raises BotNotFound, BudgetExceedsAccount. Calls the exchange: not inside a transaction.

    An exchange that does not answer refuses nothing here: the worker that starts the bot checks again, and allocates.
    """
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    rules = pair_rules_kept(pair=bot.pair, mode=bot.config.mode)
    if rules is None:
        return
    try:
        balances = account_balances(credential_id=bot.credential_id, user_id=user_id, now=now)
    except PlatformError as error:
        log.info("budget_not_checked", bot_id=str(bot_id), code=error.code)
        return
    asset = rules.quote_asset
    cover = cover_of(
        balances.get(asset),
        asset=asset,
        allocated=allocated(bot.credential_id, asset, except_bot=bot.id) + _being_started(bot, asset, now=now),
        # All cash of the key's bots may be in their orders: what is held beyond it is in others.
        reserved=allocated(bot.credential_id, asset),
    )
    refuse_beyond(cover, asked=max(ZERO, bot.quote_budget + _flow(bot_id)))


def _being_started(bot: Bot, asset: str, *, now: datetime) -> Decimal:
    """Budgets of the key's other bots whose start was accepted and is not allocated yet."""
    others = Bot.objects.filter(credential_id=bot.credential_id, deleted_at=None).exclude(id=bot.id)
    asked = others.filter(commands__kind=CommandKind.START, commands__closed_at=None).distinct()
    waiting = [view.bot for view in bot_views(list(asked), now=now) if view.state == BotState.STARTING]
    known = bots_with_budget([other.id for other in waiting])
    budgets = (other.quote_budget for other in waiting if other.id not in known and _quote_asset(other) == asset)
    return sum(budgets, ZERO)


def _quote_asset(bot: Bot) -> str:
    rules = pair_rules_kept(pair=bot.pair, mode=bot.config.mode)
    return rules.quote_asset if rules else ""


def _flow(bot_id: UUID) -> Decimal:
    """What the bot took in less what it spent so far, in the quote asset."""
    return BotStatus.objects.filter(bot_id=bot_id).values_list("quote_flow", flat=True).first() or ZERO
