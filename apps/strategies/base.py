"""Base of strategies: a model of the parameters with one decision, from a market snapshot to order plans."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from apps.core.errors import Refused
from apps.core.money import DECIMAL_PLACES, LARGEST_QUOTE, MAX_DIGITS
from apps.core.terms import Side
from apps.exchange.types import Candle

# A strategy looks back over candles; an exchange serves no more than 720 of them (Kraken, GET /0/public/OHLC).
MAX_WINDOW = 700

# Parameter types: a number of candles, and an amount in the pair's quote asset
Window = Annotated[int, Field(le=MAX_WINDOW)]


def _exact(value: Any) -> Any:
    """An amount as a decimal string or an integer. A float is not exact, and a boolean no amount."""
    if isinstance(value, bool | float):
        raise ValueError("write the amount as a decimal string")
    return value


QuoteAmount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(strict=False, gt=0, le=LARGEST_QUOTE, max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES),
]


class UnknownStrategy(Refused):
    """No strategy has this name."""

    code = "unknown_strategy"


class InvalidParameters(Refused):
    """The parameters are not valid for the strategy; `details` says which and why."""

    code = "invalid_parameters"


class DuplicateStrategy(TypeError):
    """Two classes declare the same strategy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The market and the bot as they stand when a candle has closed.

    `candles` are closed, oldest first, never empty. `base_volume` is the bot's position in the base asset; less than
    `minimum_volume` cannot be sold, by the market's minimum volume or value, and counts as no position. `last_buy_at`
    is the candle of the last purchase.
    `is_asked`: a user asked for a trade now.
    """

    candles: Sequence[Candle]
    base_volume: Decimal
    minimum_volume: Decimal
    last_buy_at: datetime | None = None
    is_asked: bool = False

    @property
    def holds(self) -> bool:
        return self.base_volume > 0 and self.base_volume >= self.minimum_volume

    @property
    def closes(self) -> list[Decimal]:
        return [candle.close for candle in self.candles]

    def candles_since(self, moment: datetime) -> int:
        """How many of the candles opened after `moment`."""
        return sum(candle.opened_at > moment for candle in self.candles)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """An order that a strategy asks for: spend `quote_amount`, or sell `base_volume`; None means all that is available.

    With a `limit_price` the order rests at that price; without one it takes the market at once. `level` distinguishes
    orders of one decision. `reason` is a text for people.
    """

    side: Side
    reason: str
    quote_amount: Decimal | None = None
    base_volume: Decimal | None = None
    limit_price: Decimal | None = None
    level: int = 0


class Strategy(BaseModel, ABC):
    """A strategy with its parameters: the fields are the parameters, `decide` makes the decision.

    A subclass declares itself by keyword arguments: `class Dca(Strategy, strategy="dca", title="Cost averaging")`. Its
    docstring is the description that traders read; `loses_when` continues "It loses when".
    """

    # Strict: JSON's true is not taken for 1, nor 5.0 for 5.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    strategy: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    loses_when: ClassVar[str]

    def __init_subclass__(cls, *, strategy: str, loses_when: str) -> None:
        super().__init_subclass__()
        cls.strategy = strategy
        cls.loses_when = loses_when
        cls.description = " ".join((cls.__doc__ or "").split())

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.title = str(cls.model_config["title"])  # pydantic keeps the keyword argument for itself
        if declared.setdefault(cls.strategy, cls).__qualname__ != cls.__qualname__:
            raise DuplicateStrategy(f"The strategy {cls.strategy!r} is declared twice.")

    @abstractmethod
    def decide(self, snapshot: Snapshot) -> list[OrderPlan]:
        """The orders wanted now, often none."""

    @classmethod
    def read(cls, parameters: dict[str, Any]) -> Self:
        """The strategy with these parameters.

        Raises InvalidParameters with a sentence that names the first one that does not fit.
        """
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            problems = {_place(item): _reason(item) for item in error.errors()}
            name, reason = next(iter(problems.items()))
            raise InvalidParameters(
                f"{cls.title}: {name}: {reason}.", strategy=cls.strategy, parameters=problems
            ) from None

    def as_json(self) -> dict[str, Any]:
        """Every parameter with its default filled in, amounts as decimal strings."""
        return self.model_dump(mode="json")


# How pydantic writes a bound of an amount.
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")

# The declared classes by name; apps.strategies.registry imports the files that declare them.
declared: dict[str, type[Strategy]] = {}


def _place(item: ErrorDetails) -> str:
    return ".".join(map(str, item["loc"])) or "parameters"


def _reason(item: ErrorDetails) -> str:
    return _DECIMAL.sub(r"\1", item["msg"].removeprefix("Value error, "))
