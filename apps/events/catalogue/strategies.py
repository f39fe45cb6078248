"""The strategies that a bot may be given: what each is called, does, and takes.

Whoever defines bots checks parameters with these models; whoever runs them decides by them. Adding a strategy is adding
a class here and its decision beside the others.
"""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from apps.core.errors import Refused
from apps.core.money import DECIMAL_PLACES, MAX_DIGITS

# A strategy looks back over candles; an exchange serves no more than 720 of them (Kraken, GET /0/public/OHLC).
MAX_WINDOW = 700

Window = Annotated[int, Field(le=MAX_WINDOW)]
QuoteAmount = Annotated[Decimal, Field(gt=0, max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)]


class UnknownStrategy(Refused):
    """There is no strategy of this name."""

    code = "unknown_strategy"


class InvalidParameters(Refused):
    """The parameters do not fit the strategy; `details` says which and why."""

    code = "invalid_parameters"


class DuplicateStrategy(TypeError):
    """Two classes declare the same strategy."""


_strategies: dict[str, type["StrategyParameters"]] = {}


class StrategyParameters(BaseModel):
    """The parameters of one strategy. The class's keyword arguments are its declaration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]

    def __init_subclass__(cls, *, strategy: str) -> None:
        super().__init_subclass__()
        cls.strategy = strategy
        cls.description = " ".join((cls.__doc__ or "").split())

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.title = str(cls.model_config["title"])
        if _strategies.setdefault(cls.strategy, cls).__qualname__ != cls.__qualname__:
            raise DuplicateStrategy(f"The strategy {cls.strategy!r} is declared twice.")

    @classmethod
    def read(cls, parameters: dict[str, Any]) -> Self:
        """Raises InvalidParameters with a sentence that names the first one that does not fit."""
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            problems = {_place(item): item["msg"].removeprefix("Value error, ") for item in error.errors()}
            name, reason = next(iter(problems.items()))
            raise InvalidParameters(
                f"{cls.title}: {name}: {reason}.", strategy=cls.strategy, parameters=problems
            ) from None

    def as_json(self) -> dict[str, Any]:
        """Every parameter with its default filled in, amounts as decimal strings."""
        return self.model_dump(mode="json")


def _place(item: ErrorDetails) -> str:
    return ".".join(map(str, item["loc"])) or "parameters"


class SmaCrossParameters(StrategyParameters, strategy="sma_cross", title="Moving average crossover"):
    """Holds the asset while the fast simple moving average of the closing prices is above the slow one."""

    fast: Annotated[Window, Field(ge=1, title="Fast window", description="In candles.")] = 5
    slow: Annotated[Window, Field(ge=2, title="Slow window", description="In candles; longer than the fast one.")] = 20
    enter_on_start: Annotated[
        bool,
        Field(
            title="Enter on start",
            description="Buy at once where the fast average is above already; otherwise wait for the next crossing.",
        ),
    ] = True

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError("the fast window must be shorter than the slow one")
        return self


class DcaParameters(StrategyParameters, strategy="dca", title="Cost averaging"):
    """Buys for the same amount every so many candles, whatever the price. It never sells."""

    every_candles: Annotated[Window, Field(ge=1, title="Every", description="Candles between two purchases.")] = 24
    quote_amount: Annotated[QuoteAmount, Field(title="Amount", description="Spent each time, in the quote asset.")]


class BreakoutParameters(StrategyParameters, strategy="breakout", title="Channel breakout"):
    """Buys when a candle closes above the highest high of the window before it (the Donchian channel), and sells when
    one closes below the lowest low."""

    window: Annotated[Window, Field(ge=2, title="Window", description="In candles.")] = 20


def all_strategies() -> list[type[StrategyParameters]]:
    """Every strategy, by name."""
    return [_strategies[name] for name in sorted(_strategies)]


def strategy_parameters(name: str) -> type[StrategyParameters]:
    """The model of a strategy's parameters. Raises UnknownStrategy."""
    try:
        return _strategies[name]
    except KeyError:
        known = ", ".join(sorted(_strategies))
        raise UnknownStrategy(f"There is no strategy {name!r}; there are {known}.", strategy=name) from None
