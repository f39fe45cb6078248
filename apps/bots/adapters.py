"""What bots need to know of exchange keys and markets, in their own words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from apps.core.errors import NotFound
from apps.core.terms import Mode
from apps.exchange.errors import UnknownPair
from apps.exchange.instrument import Instrument
from apps.market.errors import MarketDataUnavailable
from apps.market.selectors import instrument_get, instrument_list, ticker_get
from apps.vault.selectors import credential_get


@dataclass(frozen=True)
class Credential:
    id: UUID
    mode: Mode
    is_active: bool


@dataclass(frozen=True)
class PairRules:
    """`cost_minimum` is the least that an order may be worth, in the quote asset."""

    pair: str
    base_asset: str
    quote_asset: str
    cost_minimum: Decimal


@dataclass(frozen=True)
class LastPrice:
    """In the quote asset; `as_of` is when the exchange said so."""

    price: Decimal
    as_of: datetime


def credential_find(*, credential_id: UUID, user_id: UUID) -> Credential | None:
    """The user's exchange key; None where there is none, or it is another's."""
    try:
        found = credential_get(credential_id=credential_id, user_id=user_id)
    except NotFound:
        return None
    return Credential(id=found.id, mode=Mode(found.mode), is_active=found.state == "active")


def pair_rules_kept(*, pair: str, mode: Mode) -> PairRules | None:
    """As the exchange last listed the pair. Asks nobody, so it may be called inside a transaction."""
    named = Q(altname=pair) | Q(code=pair) | Q(symbol=pair)
    row = instrument_list(mode=mode).filter(named).order_by("id").first()
    return _rules_of(row.as_instrument()) if row else None


def pair_rules(*, pair: str, mode: Mode, now: datetime) -> PairRules | None:
    """None for a pair that the exchange of that mode does not list.

    Asks the exchange about a pair that is not known here. Raises MarketDataUnavailable where nothing at all is.
    """
    if kept := pair_rules_kept(pair=pair, mode=mode):
        return kept
    try:
        return _rules_of(instrument_get(pair=pair, mode=mode, now=now))
    except UnknownPair:
        return None


def is_delisted(*, pair: str, mode: Mode) -> bool:
    """Whether the exchange's latest list leaves the pair out. Asks nobody."""
    listed = instrument_list(mode=mode)
    return listed.exists() and not listed.filter(altname=pair).exists()


def last_price(*, pair: str, mode: Mode, now: datetime) -> LastPrice | None:
    """None while the market has no price to tell. Asks the exchange where what is kept is not fresh."""
    try:
        ticker = ticker_get(pair=pair, mode=mode, now=now)
    except (UnknownPair, MarketDataUnavailable):
        return None
    return LastPrice(price=ticker.value.last, as_of=ticker.as_of)


def _rules_of(instrument: Instrument) -> PairRules:
    return PairRules(
        pair=instrument.altname,
        base_asset=instrument.base,
        quote_asset=instrument.quote,
        cost_minimum=instrument.cost_minimum,
    )
