"""Stores the double-entry postings of fills and releases. The caller's transaction holds the position's lock."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.trading.ledger import Posting, postings_of_release, postings_of_write_off
from apps.trading.models.ledger import Fill, LedgerEntry, Position, Release, ReleaseReason


def postings_store(postings: Iterable[Posting], *, cause: Fill | Release, now: datetime) -> None:
    """Stores the postings of a fill or a release."""
    of = {"fill": cause} if isinstance(cause, Fill) else {"release": cause}
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            **of,
            bot_id=cause.bot_id,
            account=posting.account,
            asset=posting.asset,
            amount=posting.amount,
            posted_at=now,
        )
        for posting in postings
    )


def release_book(
    position: Position, *, volume: Decimal, reason: ReleaseReason, command_id: UUID | None = None, now: datetime
) -> Release:
    """Takes coins out of the position: to dust where the exchange does not have them, else to what belongs to no bot.

    The position is changed in memory; the caller saves it.
    """
    release = Release.objects.create(
        bot_id=position.bot_id,
        credential_id=position.credential_id,
        command_id=command_id,
        pair=position.pair,
        base_asset=position.base_asset,
        volume=volume,
        reason=reason,
        released_at=now,
    )
    post = postings_of_write_off if reason == ReleaseReason.MISSING else postings_of_release
    postings_store(post(volume=volume, base_asset=position.base_asset), cause=release, now=now)
    position.base_volume -= volume
    position.updated_at = now
    return release
