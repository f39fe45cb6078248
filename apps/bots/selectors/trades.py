from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from apps.bots.models import AccountTrade, Alert, BotTrade, UserTrading

# As text: building the same subquery from models takes as long as running it.
_BOT_IS_THERE = RawSQL(
    "EXISTS (SELECT FROM bot WHERE bot.id = bot_trade.bot_id AND bot.deleted_at IS NULL)",
    (),
    output_field=BooleanField(),
)


def trade_list(*, bot_id: UUID, user_id: UUID, **filters: Any) -> QuerySet[BotTrade]:
    """The fills of a bot, for pagination; none where the user has no such bot. `filters`: see `_chosen`."""
    return BotTrade.objects.filter(_BOT_IS_THERE, bot_id=bot_id, user_id=user_id, **_chosen(**filters))


def account_trade_list(*, user_id: UUID, **filters: Any) -> QuerySet[AccountTrade]:
    """All fills of a user, for pagination. `filters`: see `_chosen`."""
    return AccountTrade.objects.filter(user_id=user_id, **_chosen(**filters))


def _chosen(*, since: datetime | None = None, until: datetime | None = None, **equal: Any) -> dict[str, Any]:
    """Executed from `since` on and before `until`, with these values of fields. None filters nothing."""
    filters = {"executed_at__gte": since, "executed_at__lt": until, **equal}
    return {name: value for name, value in filters.items() if value is not None}


def alert_list(*, user_id: UUID) -> QuerySet[Alert]:
    return Alert.objects.filter(user_id=user_id)


def user_trading_get(*, user_id: UUID) -> UserTrading:
    """The user's summary; an empty one before the first event of the user."""
    return UserTrading.objects.filter(user_id=user_id).first() or UserTrading(user_id=user_id)
