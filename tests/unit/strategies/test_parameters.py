"""The strategies of the published language: what each takes, and what is refused."""

import jsonschema
import pytest

from apps.strategies.base import (
    DuplicateStrategy,
    InvalidParameters,
    OrderPlan,
    Snapshot,
    Strategy,
    UnknownStrategy,
    declared,
)
from apps.strategies.registry import all_strategies, strategy_get


def test_every_strategy_is_known_by_name_and_says_what_it_does() -> None:
    names = [each.strategy for each in all_strategies()]
    assert names == sorted(names)
    assert {"breakout", "dca", "sma_cross"} <= set(names)
    for each in all_strategies():
        assert strategy_get(each.strategy) is each
        assert each.title
        assert each.description.endswith(".")
        assert each.loses_when.endswith(".")


@pytest.mark.parametrize("strategy", all_strategies(), ids=lambda each: each.strategy)
def test_each_publishes_a_valid_json_schema(strategy: type[Strategy]) -> None:
    jsonschema.Draft202012Validator.check_schema(strategy.model_json_schema())


def test_defaults_are_filled_in() -> None:
    assert strategy_get("sma_cross").read({}).as_json() == {"fast": 5, "slow": 20, "enter_on_start": True}
    assert strategy_get("breakout").read({}).as_json() == {"window": 20}


def test_amounts_stay_decimal_strings() -> None:
    parameters = strategy_get("dca").read({"quote_amount": "10.50"})

    assert parameters.as_json() == {"every_candles": 24, "quote_amount": "10.50"}
    assert strategy_get("dca").read(parameters.as_json()) == parameters


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("sma_cross", {"fast": 20, "slow": 20}, "the fast window must be shorter than the slow one"),
        ("sma_cross", {"fast": 0}, "greater than or equal to 1"),
        ("sma_cross", {"slow": 701}, "less than or equal to 700"),
        ("sma_cross", {"fats": 3}, "fats: Extra inputs are not permitted"),
        ("dca", {}, "quote_amount: Field required"),
        ("dca", {"quote_amount": "0"}, "greater than 0"),
        ("dca", {"quote_amount": "NaN"}, "finite number"),
        ("dca", {"quote_amount": "1e400"}, "less than or equal to 1000000000000"),
        ("dca", {"quote_amount": "0.00000000001"}, "10 decimal places"),
        ("breakout", {"window": 1}, "greater than or equal to 2"),
        ("breakout", {"window": "many"}, "valid integer"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_the_reason(
    name: str, parameters: dict[str, object], problem: str
) -> None:
    with pytest.raises(InvalidParameters, match=problem) as refused:
        strategy_get(name).read(parameters)
    assert refused.value.details["strategy"] == name


def test_an_unknown_strategy_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownStrategy, match=f"there are {', '.join(each.strategy for each in all_strategies())}"):
        strategy_get("martingale")


def test_a_second_strategy_of_the_same_name_is_refused() -> None:
    known = dict(declared)

    with pytest.raises(DuplicateStrategy):

        class Other(Strategy, strategy="dca", title="Other", loses_when="never"):
            """Another."""

            def decide(self, snapshot: Snapshot) -> list[OrderPlan]:
                return []

    assert declared == known
