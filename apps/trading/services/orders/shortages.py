"""Coins that a bot should have and the account does not give: an exit sells what is there.

The exchange refuses a sale for want of coins, be it for one lot. Then it is asked how many there are. A lot or two that
are missing are written off to dust, once. More is left to the account's comparison (`account_comparison`), and the
coming sales leave it out.
"""

from datetime import datetime
from decimal import Decimal

import structlog
from django.db import transaction

from apps.core.money import plain
from apps.core.terms import Side
from apps.events.store.publish import publish
from apps.exchange.types import ZERO, Balance, Rejected
from apps.messages.trading import PositionWrittenOff
from apps.trading.models.ledger import Position, ReleaseReason
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.orders.allocations import account_hold, position_follow
from apps.trading.services.orders.positions import position_get, position_get_for_update
from apps.trading.services.orders.postings import release_book

log = structlog.get_logger(__name__)

# Code of the exchange's refusal (apps/exchange/kraken/error_classification.py).
INSUFFICIENT_FUNDS = "insufficient_funds"
# More than so many lots that are missing are no rest of a rounding.
WRITTEN_OFF_LOTS = 2


def is_shortage(rejection: Rejected, side: str) -> bool:
    """Whether a sale was refused for want of coins."""
    return side == Side.SELL and rejection.code == INSUFFICIENT_FUNDS


def shortage_note(run: BotRun, *, deps: Dependencies) -> bool:
    """After a sale was refused for want of coins: whether the coming ones sell less, and how much less.

    Asks the exchange for its balance. Raises what the exchange's reads raise.
    """
    position = position_get(run)
    balance = deps.exchange.balances().get(position.base_asset, Balance(position.base_asset, ZERO))
    decimals = deps.market.instrument(run.pair).value.volume_decimals
    most = WRITTEN_OFF_LOTS * Decimal(1).scaleb(-decimals)
    return _note(run, free=balance.free, write_off_up_to=most, now=deps.clock())


@transaction.atomic
def _note(run: BotRun, *, free: Decimal, write_off_up_to: Decimal, now: datetime) -> bool:
    position = position_get_for_update(bot_id=run.bot_id, credential_id=run.credential_id, pair=run.pair)
    missing = position.base_volume - position.base_reserved - free
    if missing <= 0:
        position.base_missing = ZERO
        position.save(update_fields=["base_missing"])
        return False
    is_new: bool = missing != position.base_missing
    if missing <= write_off_up_to:
        _write_off(run, position, missing, now=now)
    elif is_new:
        position.base_missing = missing
        position.save(update_fields=["base_missing"])
    log.warning("coins_missing", bot_id=str(run.bot_id), pair=run.pair, missing=plain(missing), free=plain(free))
    return is_new


def _write_off(run: BotRun, position: Position, volume: Decimal, *, now: datetime) -> None:
    account = account_hold(run)
    release = release_book(position, volume=volume, reason=ReleaseReason.MISSING, now=now)
    position.base_missing = ZERO
    position.save()
    # The account's comparison takes the exchange's figure over: what is booked of the account stays as it is.
    position_follow(account, run, position)
    publish(
        PositionWrittenOff(
            bot_id=run.bot_id,
            user_id=run.user_id,
            credential_id=run.credential_id,
            release_id=release.id,
            pair=run.pair,
            base_asset=position.base_asset,
            volume=volume,
            written_off_at=now,
        ),
        now=now,
    )
