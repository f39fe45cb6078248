"""Closes what a user has in this service: bots stopped and deleted, keys disconnected, personal data erased.

The user service asks for one step after the other until nothing remains (docs/accounts.md). Each step is idempotent,
and each bot and key has a transaction of its own: a crash leaves work for the next step, never half a bot.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from apps.bots.adapters import key_close, keys_erase, keys_of_user
from apps.bots.models import Alert, Bot
from apps.bots.selectors.bots import BotView, bot_list, bot_views
from apps.bots.services.commands import bot_stop
from apps.bots.services.definitions import bot_delete
from apps.core.api.idempotency import idempotency_erase
from apps.core.errors import PlatformError
from apps.core.money import plain
from apps.risk.services.closure import closed_user_halt

log = structlog.get_logger(__name__)

# Bot names are text of the user; a bot has one.
ERASED = "closed"

Remaining = dict[str, Any]


def closure_holdings(*, user_id: UUID, now: datetime) -> list[Remaining]:
    """Bots that hold more than dust, or have orders that have not ended: what bars a closure without `abandon`."""
    views = bot_views(list(bot_list(user_id=user_id).order_by("id")), now=now)
    return [_details(view) for view in views if view.open_orders or view.status.position_volume > view.dust]


def closure_step(*, user_id: UUID, now: datetime) -> list[Remaining]:
    """Goes as far as it can now, and says what remains. The user's trading is halted before anything else.

    Bots at work and bots with orders are stopped, and deleted by a later step; coins stay in the exchange account. Not
    in a transaction.
    """
    closed_user_halt(user_id=user_id, now=now)
    remaining: list[Remaining] = []
    for view in bot_views(list(bot_list(user_id=user_id).order_by("id")), now=now):
        remaining += _close_bot(view, now)
    if not remaining:
        for credential_id in keys_of_user(user_id=user_id):
            code = _refusal(partial(key_close, credential_id=credential_id, user_id=user_id, now=now))
            remaining += [{"key_id": str(credential_id), "waits_for": code}] if code else []
    if not remaining:
        _erase(user_id)
    log.info("closure_step_done", user_id=str(user_id), remaining=len(remaining))
    return remaining


def _close_bot(view: BotView, now: datetime) -> list[Remaining]:
    bot_id, user_id = view.bot.id, view.bot.user_id
    code: str | None
    if view.is_at_work or view.open_orders:
        code = _refusal(lambda: bot_stop(bot_id=bot_id, user_id=user_id, now=now)) or "stopping"
    else:
        code = _refusal(lambda: bot_delete(bot_id=bot_id, user_id=user_id, now=now, abandon=True))
    return [{**_details(view), "waits_for": code}] if code else []


def _refusal(act: Callable[[], Any]) -> str | None:
    """The code of what was refused for now; None where it was done."""
    try:
        act()
    except PlatformError as error:
        return error.code
    return None


def _erase(user_id: UUID) -> None:
    Bot.objects.filter(user_id=user_id).exclude(name=ERASED).update(name=ERASED)
    Alert.objects.filter(user_id=user_id).delete()
    idempotency_erase(user_id=user_id)
    keys_erase(user_id=user_id)


def _details(view: BotView) -> Remaining:
    return {
        "bot_id": str(view.bot.id),
        "name": view.bot.name,
        "state": view.state.value,
        "open_orders": list(view.open_orders),
        "pair": view.bot.pair,
        "base_asset": view.status.base_asset,
        "volume": plain(view.status.position_volume),
    }
