"""What a strategy is given and what it answers. Decisions are pure: no database, no exchange, no clock."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from apps.events.catalogue.strategies import StrategyParameters, UnknownStrategy
from apps.exchange.types import Candle, Side

Parameters = TypeVar("Parameters", bound=StrategyParameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The market and the bot as they stand when a candle has closed.

    `candles` are closed ones, oldest first, never empty. `base_volume` is what the bot holds, in the base asset; less
    than `minimum_volume` cannot be sold and counts as nothing. `last_buy_at` is the candle that the bot last bought on.
    `is_asked` says that a person asked for a trade now.
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
    """What a strategy wants: to spend `quote_amount`, or to sell `base_volume`; all there is where it is None.

    With a `limit_price` the order rests at it; without one it takes the market at once. `level` tells orders of one
    decision apart. `reason` is for people.
    """

    side: Side
    reason: str
    quote_amount: Decimal | None = None
    base_volume: Decimal | None = None
    limit_price: Decimal | None = None
    level: int = 0


@dataclass(frozen=True)
class Strategy(Generic[Parameters]):
    """A decision with the model of its parameters. Call it with a snapshot and a bot's parameters."""

    parameters: type[Parameters]
    decide: Callable[[Snapshot, Parameters], list[OrderPlan]]

    @property
    def name(self) -> str:
        return self.parameters.strategy

    def __call__(self, snapshot: Snapshot, parameters: dict[str, Any]) -> list[OrderPlan]:
        """The orders wanted now, often none. Raises InvalidParameters."""
        return self.decide(snapshot, self.parameters.read(parameters))


_registry: dict[str, Strategy[Any]] = {}


def strategy(
    parameters: type[Parameters],
) -> Callable[[Callable[[Snapshot, Parameters], list[OrderPlan]]], Strategy[Parameters]]:
    """Makes a strategy of a decision function: ``@strategy(SmaCrossParameters)``."""

    def register(decide: Callable[[Snapshot, Parameters], list[OrderPlan]]) -> Strategy[Parameters]:
        made = Strategy(parameters, decide)
        if made.name in _registry:
            raise TypeError(f"The strategy {made.name!r} is decided in two places.")
        _registry[made.name] = made
        return made

    return register


def strategy_get(name: str) -> Strategy[Any]:
    """Raises UnknownStrategy."""
    if name not in _registry:
        known = ", ".join(strategy_names())
        raise UnknownStrategy(f"There is no strategy {name!r}; there are {known}.", strategy=name)
    return _registry[name]


def strategy_names() -> list[str]:
    return sorted(_registry)


def load_strategies() -> None:
    """Imports every file of this package: adding a strategy is adding one."""
    package = importlib.import_module("apps.trading.strategies")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
