"""The switch of a bot: stops and deletions bar its orders in the transaction of the request."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.risk.models.halts import HaltScope
from apps.risk.models.switches import BotSwitch
from apps.risk.services.locks import hold_alone

# Ordered by id, so that two statements over the same bots do not deadlock.
_REQUEST_STOPS = """
INSERT INTO risk_bot_switch AS kept (bot_id, stop_requested_at)
SELECT bot_id, %s FROM unnest(%s::uuid[]) AS asked (bot_id) ORDER BY bot_id
ON CONFLICT (bot_id) DO UPDATE
   SET stop_requested_at = greatest(kept.stop_requested_at, excluded.stop_requested_at)
"""


def switch_get_for_update(bot_id: UUID) -> BotSwitch:
    """The bot's switch, locked for update: one start or stop of a bot at a time."""
    BotSwitch.objects.get_or_create(bot_id=bot_id)
    return BotSwitch.objects.select_for_update().get(bot_id=bot_id)


def stop_request(*, bot_id: UUID, requested_at: datetime) -> None:
    """From the caller's commit on, runs of the bot that were requested until then send no new order.

    A flatten may still sell. Call it before anything is published (`services/locks.py`).
    """
    hold_alone(HaltScope.BOT, bot_id)
    _request_stops([bot_id], requested_at)


def stop_request_all(*, bot_ids: Sequence[UUID], requested_at: datetime) -> None:
    """As `stop_request`, for bots of one user, whose lock the caller holds from its beginning (`user_hold`)."""
    _request_stops(bot_ids, requested_at)


def user_hold(user_id: UUID) -> None:
    """Waits for the user's orders that are being marked, and keeps others out until the end of the transaction."""
    hold_alone(HaltScope.USER, user_id)


def bot_switch_off(*, bot_id: UUID, deleted_at: datetime) -> None:
    """From the caller's commit on, the bot neither starts nor trades again."""
    hold_alone(HaltScope.BOT, bot_id)
    switch = switch_get_for_update(bot_id)
    switch.deleted_at = switch.deleted_at or deleted_at
    switch.save(update_fields=["deleted_at"])


def _request_stops(bot_ids: Sequence[UUID], requested_at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_REQUEST_STOPS, [requested_at, list(bot_ids)])
