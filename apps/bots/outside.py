"""What bots need to know of exchange keys and markets, in their own words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True)
class Credential:
    id: UUID
    mode: str
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
    raise NotImplementedError


def pair_rules(*, pair: str, mode: str) -> PairRules | None:
    """None for a pair that the exchange of that mode does not trade."""
    raise NotImplementedError


def last_price(*, pair: str, mode: str) -> LastPrice | None:
    """None while the market has no price to tell."""
    raise NotImplementedError
