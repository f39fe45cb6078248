from uuid import UUID

from django.db.models import QuerySet

from apps.bots.models import AccountTrade, Alert, BotTrade, UserTrading
from apps.bots.selectors.bots import bot_get


def trade_list(*, bot_id: UUID, user_id: UUID) -> QuerySet[BotTrade]:
    """The fills of a bot, for pagination. Raises BotNotFound."""
    return BotTrade.objects.filter(bot_id=bot_get(bot_id=bot_id, user_id=user_id).id)


def account_trade_list(
    *, user_id: UUID, credential_id: UUID | None = None, pair: str | None = None
) -> QuerySet[AccountTrade]:
    """All fills of a user, for pagination."""
    trades = AccountTrade.objects.filter(user_id=user_id)
    if credential_id is not None:
        trades = trades.filter(credential_id=credential_id)
    if pair is not None:
        trades = trades.filter(pair=pair)
    return trades


def alert_list(*, user_id: UUID) -> QuerySet[Alert]:
    return Alert.objects.filter(user_id=user_id)


def user_trading_get(*, user_id: UUID) -> UserTrading:
    """The user's summary; an empty one before the first event of the user."""
    return UserTrading.objects.filter(user_id=user_id).first() or UserTrading(user_id=user_id)
