"""What the vault must know of bots before an exchange key goes or changes (`apps.vault.key_users`)."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.bots.models import AccountTrade, Bot, BotOrder
from apps.bots.selectors.bots import BotView, bot_views
from apps.bots.selectors.reports import bots_with_unread_reports
from apps.bots.services.commands import dispatch_abandonment
from apps.vault.key_users import KeyUse, KnownIds

FEW = 10


class BotsOfKey:
    """Implements `apps.vault.key_users.KeyUsers`. Deleted bots do not count: they have neither orders nor coins."""

    def lock(self, *, credential_id: UUID) -> None:
        # In id order, as every writer of several bots: two of them do not deadlock.
        list(_bots(credential_id).select_for_update().order_by("id"))

    def uses(self, *, credential_id: UUID, now: datetime) -> list[KeyUse]:
        views = bot_views(list(_bots(credential_id).order_by("id")), now=now)
        return [_use(view) for view in views if view.is_at_work or view.open_orders or _holds(view)]

    def has_unread_reports(self, *, credential_id: UUID, now: datetime) -> bool:
        bot_ids = list(_bots(credential_id).values_list("id", flat=True))
        return bool(bots_with_unread_reports(bot_ids=bot_ids, now=now))

    def abandon(self, *, credential_id: UUID, now: datetime) -> None:
        for view in bot_views(list(_bots(credential_id).order_by("id")), now=now):
            if view.status.position_volume:
                dispatch_abandonment(view, now=now)

    def known_ids(self, *, credential_id: UUID) -> KnownIds:
        trades = AccountTrade.objects.filter(credential_id=credential_id).order_by("-executed_at")
        orders = BotOrder.objects.filter(credential_id=credential_id).exclude(exchange_order_id="")
        return KnownIds(
            tuple(trades.values_list("exchange_trade_id", flat=True)[:FEW]),
            tuple(orders.order_by("-planned_at").values_list("exchange_order_id", flat=True)[:FEW]),
        )


def _bots(credential_id: UUID) -> QuerySet[Bot]:
    return Bot.objects.filter(credential_id=credential_id, deleted_at=None)


def _holds(view: BotView) -> bool:
    is_more: bool = view.status.position_volume > view.dust
    return is_more


def _use(view: BotView) -> KeyUse:
    return KeyUse(
        bot_id=view.bot.id,
        name=view.bot.name,
        state=view.state.value,
        is_at_work=view.is_at_work,
        open_orders=tuple(view.open_orders),
        pair=view.bot.pair,
        base_asset=view.status.base_asset,
        volume=view.status.position_volume,
    )
