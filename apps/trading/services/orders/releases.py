"""Releases: what a bot holds is given up to its exchange account, where it belongs to no bot. Nothing is sold."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from django.db import transaction

from apps.core.money import plain
from apps.events.store.publish import publish
from apps.messages.trading import PositionAbandoned
from apps.risk.models.switches import BotSwitch
from apps.trading.models.ledger import Position, Release, ReleaseReason
from apps.trading.models.runs import BotRun
from apps.trading.services.orders.allocations import account_hold, position_follow
from apps.trading.services.orders.postings import release_book

log = structlog.get_logger(__name__)


@transaction.atomic
def positions_release(
    *, bot_id: UUID, user_id: UUID, reason: ReleaseReason, command_id: UUID | None, now: datetime
) -> list[Release]:
    """Releases all coins of the bot but those that its open orders may sell. Each release is posted and published.

    Safe to repeat: there is nothing to release the second time.
    """
    held = Position.objects.select_for_update().filter(bot_id=bot_id, base_volume__gt=0).order_by("id")
    releases = [
        _release(position, reason=reason, command_id=command_id, now=now)
        for position in held
        if position.base_volume > position.base_reserved
    ]
    # Lock order of every writer: positions and accounts first, the bot's stream last.
    for release in releases:
        _announce(release, user_id=user_id, now=now)
    return releases


def deleted_bot_release(run: BotRun, *, now: datetime) -> None:
    """Releases what orders of a deleted bot bought that ended after its deletion."""
    if BotSwitch.objects.filter(bot_id=run.bot_id, deleted_at__isnull=False).exists():
        positions_release(
            bot_id=run.bot_id, user_id=run.user_id, reason=ReleaseReason.BOT_DELETED, command_id=None, now=now
        )


def _release(position: Position, *, reason: ReleaseReason, command_id: UUID | None, now: datetime) -> Release:
    volume = position.base_volume - position.base_reserved
    release = release_book(position, volume=volume, reason=reason, command_id=command_id, now=now)
    position.save()
    runs = BotRun.objects.filter(bot_id=position.bot_id, credential_id=position.credential_id, pair=position.pair)
    if run := runs.order_by("-started_at").first():
        # The account has as much as before; less of it is the bot's.
        position_follow(account_hold(run), run, position)
    return release


def _announce(release: Release, *, user_id: UUID, now: datetime) -> None:
    reason: Literal["bot_deleted", "key_disconnected"] = (
        "bot_deleted" if release.reason == ReleaseReason.BOT_DELETED else "key_disconnected"
    )
    publish(
        PositionAbandoned(
            bot_id=release.bot_id,
            user_id=user_id,
            credential_id=release.credential_id,
            release_id=release.id,
            command_id=release.command_id,
            pair=release.pair,
            base_asset=release.base_asset,
            volume=release.volume,
            reason=reason,
            abandoned_at=now,
        ),
        now=now,
    )
    log.warning(
        "position_abandoned",
        bot_id=str(release.bot_id),
        pair=release.pair,
        volume=plain(release.volume),
        reason=release.reason,
    )
