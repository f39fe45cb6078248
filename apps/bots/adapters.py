"""Adapters to the vault and to market data: what bots need of them, as types of their own."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from apps.core.errors import NotFound
from apps.core.terms import Mode
from apps.exchange.errors import IntervalNotOffered, UnknownPair
from apps.exchange.instrument import Instrument
from apps.exchange.nonce import key_is_suspended
from apps.exchange.types import Balance
from apps.market.errors import MarketDataUnavailable
from apps.market.selectors import (
    instrument_get,
    instrument_kept,
    instrument_list,
    instruments_keep,
    ohlc_get,
    ohlc_is_kept,
    ticker_get,
    ticker_kept,
)
from apps.vault.models import Credential as StoredCredential
from apps.vault.permissions import missing_permissions
from apps.vault.selectors import credential_get, credential_hold, credential_list, credential_owner
from apps.vault.services.closure import credential_close, credentials_erase
from apps.vault.services.keys import credential_balances
from apps.vault.services.recheck import credential_check_before_start

# Between the exchange's clock and this machine's.
_CLOCKS_DIFFER = timedelta(seconds=30)


@dataclass(frozen=True)
class Credential:
    id: UUID
    mode: Mode
    is_active: bool
    missing_rights: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConnectedKey:
    id: UUID
    label: str
    mode: Mode


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


def keys_connected(*, user_id: UUID) -> list[ConnectedKey]:
    """The user's connected exchange keys, live ones whose state is not active included."""
    return [ConnectedKey(key.id, key.label, Mode(key.mode)) for key in credential_list(user_id=user_id)]


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
    instrument = instrument_kept(pair=pair, mode=mode)
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
    if ohlc_is_kept(pair=pair, interval_minutes=interval_minutes, mode=mode):
        return
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


def closes_by_clock(
    *, pair: str, interval_minutes: int, mode: Mode, now: datetime
) -> Iterator[tuple[datetime, Decimal]]:
    """The market's closed candles as (close of the interval, price), where market time is the clock's.

    None where it is not, as in a replay, and where the exchange does not answer or has no such interval. May call the
    exchange.
    """
    try:
        ohlc = ohlc_get(pair=pair, interval_minutes=interval_minutes, mode=mode, now=now).value
    except (UnknownPair, IntervalNotOffered, MarketDataUnavailable):
        return
    interval = timedelta(minutes=interval_minutes)
    if ohlc.closed and abs(now - ohlc.closed[-1].opened_at - interval) <= interval + _CLOCKS_DIFFER:
        for candle in ohlc.closed:
            yield candle.opened_at + interval, candle.close


def is_dust(volume: Decimal, *, pair: str, mode: Mode, otherwise_at: Decimal) -> bool:
    """Whether a held volume is below the smallest order, so that it cannot be sold now. Does not call the exchange.

    By the last price known here, or at the price `otherwise_at`.
    """
    instrument = instrument_kept(pair=pair, mode=mode)
    if instrument is None or volume <= 0:
        return False
    ticker = ticker_kept(pair=instrument.altname, mode=mode)
    price = ticker.value.bid if ticker else otherwise_at
    return volume < instrument.smallest_order(price)


def keep_pairs_in_memory(markets: Collection[tuple[Mode, str]]) -> None:
    """Before `is_dust` of several pairs: one query for all of them."""
    instruments_keep(markets)


def _rules_of(instrument: Instrument) -> PairRules:
    return PairRules(
        pair=instrument.altname,
        base_asset=instrument.base,
        quote_asset=instrument.quote,
        order_minimum=instrument.order_minimum,
        cost_minimum=instrument.cost_minimum,
    )


def keys_of_user(*, user_id: UUID) -> list[UUID]:
    """The user's keys that are not disconnected, by id."""
    return sorted(credential_list(user_id=user_id).values_list("id", flat=True))


def key_close(*, credential_id: UUID, user_id: UUID, now: datetime) -> None:
    """Disconnects a key of an account that is being closed, and destroys its secret."""
    credential_close(credential_id=credential_id, user_id=user_id, now=now)


def keys_erase(*, user_id: UUID) -> None:
    """Removes what is personal of the user's disconnected keys."""
    credentials_erase(user_id=user_id)
