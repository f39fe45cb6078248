"""Caps on live trading: the largest order, position and budget of a bot, in its pair's quote asset.

Nothing is converted between assets: a conversion needs a price, and a wrong price would lift the cap. The defaults of
the installation are for quote assets worth about a dollar (DEFAULT_ASSETS); for any other asset the cap is zero until
the user sets one, behind the gates of `gates.py`. During the first seven days of live trading a fraction of them holds.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from apps.core.errors import Refused
from apps.core.money import plain
from apps.core.terms import Mode
from apps.exchange.types import ZERO
from apps.risk.models.caps import Cap, LiveBeginning

DEFAULT_ASSETS = frozenset({"USD", "EUR", "GBP", "CHF", "CAD", "AUD", "USDT", "USDC", "DAI", "USDG", "PYUSD", "EURC"})
FIRST_DAYS = timedelta(days=7)


class CapExceeded(Refused):
    """A live bot's budget is above its cap. `details`: the `cap`, its `limit`, what was `asked`, the `asset`."""

    code = "cap_exceeded"


@dataclass(frozen=True, slots=True)
class Caps:
    """Amounts in one quote asset."""

    largest_order: Decimal
    largest_position: Decimal
    largest_budget: Decimal

    def at_most(self, other: "Caps") -> "Caps":
        return Caps(
            min(self.largest_order, other.largest_order),
            min(self.largest_position, other.largest_position),
            min(self.largest_budget, other.largest_budget),
        )

    def reduced(self) -> "Caps":
        """As they hold in the first days."""
        fraction = settings.LIVE_CAPS.first_days_fraction
        return Caps(self.largest_order * fraction, self.largest_position * fraction, self.largest_budget * fraction)

    def exceeds(self, other: "Caps") -> bool:
        """Whether any of these is larger than the other's."""
        return self.at_most(other) != self


def asset_name(code: str) -> str:
    """The plain name of a quote asset: Kraken's balances say ZUSD and XXBT for USD and XBT."""
    return code[1:] if len(code) == 4 and code[0] in "XZ" else code


def caps_default(asset: str) -> Caps:
    """The installation's, for a user who has set none."""
    if asset_name(asset) not in DEFAULT_ASSETS:
        return Caps(ZERO, ZERO, ZERO)
    limits = settings.LIVE_CAPS
    return Caps(limits.largest_order, limits.largest_position, limits.largest_budget)


def caps_own(*, user_id: UUID, bot_id: UUID | None, asset: str) -> Caps:
    """What the user has set for all bots, or for one: the default, or the user's, where nothing is set."""
    row = Cap.objects.filter(user_id=user_id, bot_id=bot_id, asset=asset_name(asset)).first()
    if row is not None:
        return Caps(row.largest_order, row.largest_position, row.largest_budget)
    if bot_id is not None:
        return caps_own(user_id=user_id, bot_id=None, asset=asset)
    return caps_default(asset)


def caps_in_force(*, user_id: UUID, bot_id: UUID | None, asset: str, now: datetime) -> Caps:
    """What holds for a bot now: the user's caps and the bot's, and a fraction of them in the first days."""
    caps = caps_own(user_id=user_id, bot_id=None, asset=asset)
    if bot_id is not None:
        caps = caps.at_most(caps_own(user_id=user_id, bot_id=bot_id, asset=asset))
    if not is_in_first_days(user_id=user_id, now=now):
        return caps
    default = caps_default(asset)
    return (caps.at_most(default) if default.largest_order else caps).reduced()


def first_days_end_at(*, user_id: UUID) -> datetime | None:
    """None before the first live start."""
    began = LiveBeginning.objects.filter(user_id=user_id).values_list("began_at", flat=True).first()
    return began + FIRST_DAYS if began is not None else None


def is_in_first_days(*, user_id: UUID, now: datetime) -> bool:
    """Also before the first live start."""
    ends_at = first_days_end_at(user_id=user_id)
    return ends_at is None or now < ends_at


def refuse_budget_above_cap(
    mode: str, *, user_id: UUID, bot_id: UUID | None, asset: str, quote_budget: Decimal, now: datetime
) -> None:
    """Raises CapExceeded for a live bot. `quote_budget` is in the quote asset `asset`."""
    if mode == Mode.PAPER:
        return
    limit = caps_in_force(user_id=user_id, bot_id=bot_id, asset=asset, now=now).largest_budget
    if quote_budget > limit:
        name = asset_name(asset)
        raise CapExceeded(
            f"The budget of {plain(quote_budget)} {name} is above the cap of {plain(limit)} {name} for a live bot"
            f"{_why(user_id, now)}. Make it smaller, or raise the cap with PATCH /api/v1/trading/caps.",
            cap="largest_budget",
            limit=plain(limit),
            asked=plain(quote_budget),
            asset=name,
        )


@dataclass(frozen=True, slots=True)
class CapBreach:
    """The cap that a purchase would break: `code` for programs, `message` for people, both figures in the asset."""

    code: str
    message: str
    limit: Decimal
    actual: Decimal
    asset: str


def entry_breach(
    mode: str,
    *,
    user_id: UUID,
    bot_id: UUID,
    asset: str,
    cost: Decimal,
    position_value: Decimal,
    quote_budget: Decimal,
    now: datetime,
) -> CapBreach | None:
    """The cap that a live purchase would break, or None. All amounts in the quote asset.

    `cost` is the order's highest, `position_value` what the bot holds and has on order, without this purchase.
    """
    if mode == Mode.PAPER:
        return None
    caps = caps_in_force(user_id=user_id, bot_id=bot_id, asset=asset, now=now)
    for name, asked, limit in (
        ("order", cost, caps.largest_order),
        ("position", position_value + cost, caps.largest_position),
        ("budget", quote_budget, caps.largest_budget),
    ):
        if asked > limit:
            unit = asset_name(asset)
            return CapBreach(
                f"cap_{name}",
                f"The {name} would be {plain(asked.quantize(Decimal('0.01')))} {unit}, and the cap is "
                f"{plain(limit)} {unit}{_why(user_id, now)}.",
                limit,
                asked.quantize(Decimal("0.01")),
                unit,
            )
    return None


def _why(user_id: UUID, now: datetime) -> str:
    return " in the first seven days of live trading" if is_in_first_days(user_id=user_id, now=now) else ""
