"""Adapters to the vault and to market data: what bots need of them, as types of their own."""

import contextlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from apps.core.errors import NotFound
from apps.core.terms import Mode
from apps.exchange.errors import UnknownPair
from apps.exchange.instrument import Instrument
from apps.exchange.nonce import key_is_suspended
from apps.exchange.types import Balance
from apps.market.errors import MarketDataUnavailable
from apps.market.selectors import instrument_find, instrument_get, instrument_list, ohlc_get, ticker_get, ticker_kept
from apps.vault.models import Credential as StoredCredential
from apps.vault.permissions import missing_permissions
from apps.vault.selectors import credential_get, credential_hold, credential_owner
from apps.vault.services.keys import credential_balances
from apps.vault.services.recheck import credential_check_before_start


@dataclass(frozen=True)
class Credential:
    id: UUID
    mode: Mode
    is_active: bool
    missing_rights: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairRules:
    """Minimums of an order: `order_minimum` is its volume in base, `cost_minimum` its value in quote."""

    pair: str
    base_asset: str
    quote_asset: str
    order_minimum: Decimal
    cost_minimum: Decimal


@dataclass(frozen=True)
class LastPrice:
    """A price in the quote asset. `as_of` is the time of the exchange's response."""

    price: Decimal
    as_of: datetime


def credential_find(*, credential_id: UUID, user_id: UUID) -> Credential | None:
    """The user's exchange key. None if it does not exist or is another user's."""
    try:
        found = credential_get(credential_id=credential_id, user_id=user_id)
    except NotFound:
        return None
    return Credential(
        id=found.id,
        mode=Mode(found.mode),
        is_active=_is_active(found),
        missing_rights=tuple(missing_permissions(found.permissions)),
    )


def credential_recheck(*, credential_id: UUID, user_id: UUID, now: datetime) -> None:
    """Before a start: asks the exchange about the key again, where its last answer is too old. Not in a transaction."""
    credential_check_before_start(credential_id=credential_id, user_id=user_id, now=now)


def _is_active(found: StoredCredential) -> bool:
    # A worker's refusal reaches the key's row by a message; the exchange's own register has it at once.
    return found.state == StoredCredential.State.ACTIVE and not key_is_suspended(found.key_digest, now=timezone.now())


def credential_user(credential_id: UUID) -> UUID | None:
    """The user of an exchange key, also of a disconnected one. None where there is no such key."""
    return credential_owner(credential_id=credential_id)


def account_balances(*, credential_id: UUID, user_id: UUID, now: datetime) -> dict[str, Balance]:
    """The balances of the key's account by asset code. Calls the exchange.

    Raises NotFound, KeySuspended and what reads of an exchange raise.
    """
    balances = credential_balances(credential_id=credential_id, user_id=user_id, now=now)
    return {balance.asset: balance for balance in balances}


def key_hold(*, credential_id: UUID) -> None:
    """Keeps the key connected until the end of the transaction."""
    credential_hold(credential_id=credential_id)


def pair_rules_kept(*, pair: str, mode: Mode) -> PairRules | None:
    """The pair's rules from the stored instruments. No I/O beyond the database: allowed inside a transaction."""
    instrument = instrument_find(pair=pair, mode=mode)
    return _rules_of(instrument) if instrument else None


def pair_rules(*, pair: str, mode: Mode, now: datetime) -> PairRules | None:
    """The pair's rules. None if the exchange of that mode does not list the pair.

    May call the exchange for a pair that is not stored. Raises MarketDataUnavailable if no instruments are stored.
    """
    if kept := pair_rules_kept(pair=pair, mode=mode):
        return kept
    try:
        return _rules_of(instrument_get(pair=pair, mode=mode, now=now))
    except UnknownPair:
        return None


def interval_check(*, pair: str, interval_minutes: int, mode: Mode, now: datetime) -> None:
    """Raises IntervalNotOffered. May call the exchange; one that does not answer proves nothing, and nothing is raised.

    Raises UnknownPair of apps.exchange if the pair is not listed.
    """
    with contextlib.suppress(MarketDataUnavailable):
        ohlc_get(pair=pair, interval_minutes=interval_minutes, mode=mode, now=now)


def is_delisted(*, pair: str, mode: Mode) -> bool:
    """Whether the stored instruments lack the pair. Does not call the exchange."""
    listed = instrument_list(mode=mode)
    return listed.exists() and not listed.filter(altname=pair).exists()


def last_price(*, pair: str, mode: Mode, now: datetime) -> LastPrice | None:
    """The last price. None if unavailable. Calls the exchange if the cached price is not fresh."""
    try:
        ticker = ticker_get(pair=pair, mode=mode, now=now)
    except (UnknownPair, MarketDataUnavailable):
        return None
    return LastPrice(price=ticker.value.last, as_of=ticker.as_of)


def is_dust(volume: Decimal, *, pair: str, mode: Mode, otherwise_at: Decimal) -> bool:
    """Whether a held volume is below the smallest order, so that it cannot be sold now. Does not call the exchange.

    By the last price known here, or at the price `otherwise_at`.
    """
    instrument = instrument_find(pair=pair, mode=mode)
    if instrument is None or volume <= 0:
        return False
    ticker = ticker_kept(pair=instrument.altname, mode=mode)
    price = ticker.value.bid if ticker else otherwise_at
    return volume < instrument.smallest_order(price)


def _rules_of(instrument: Instrument) -> PairRules:
    return PairRules(
        pair=instrument.altname,
        base_asset=instrument.base,
        quote_asset=instrument.quote,
        order_minimum=instrument.order_minimum,
        cost_minimum=instrument.cost_minimum,
    )
