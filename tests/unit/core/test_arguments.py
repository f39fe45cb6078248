"""Numeric options out of range are refused before the command runs."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from apps.core.arguments import integer, not_negative, port_number, positive_integer, positive_number


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (positive_number, "0"), (positive_number, "-5"), (positive_number, "nan"), (positive_number, "inf"),
        (positive_number, "1e-300"), (positive_number, "1e300"), (positive_number, "many"), (positive_number, ""),
        (positive_integer, "0"), (positive_integer, "-1"), (positive_integer, "1.5"), (positive_integer, "9" * 5_000),
        (not_negative, "-1"), (not_negative, "none"), (port_number, "0"), (port_number, "65536"),
        (integer(at_least=2, at_most=4), "5"),
    ],
)  # fmt: skip
def test_a_number_outside_its_bounds_is_refused(kind: Callable[[str], float], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"is not a (whole )?number from .* to .*\."):
        kind(text)


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (positive_number, "0.5", 0.5), (positive_number, "40", 40), (positive_integer, "1", 1), (not_negative, "0", 0),
        (port_number, "65535", 65_535), (integer(at_least=2, at_most=4), "4", 4),
    ],
)  # fmt: skip
def test_a_number_within_its_bounds_is_taken(kind: Callable[[str], float], text: str, number: float) -> None:
    assert kind(text) == number


@pytest.mark.parametrize(
    "command",
    [
        ["archive_events", "--folder", "old", "--older-than=-60"],
        ["archive_events", "--folder", "old", "--older-than=0"],
        ["archive_events", "--folder", "old", "--older-than=99999999"],
        ["dead_letters", "redrive", "bot.dlq", "--rate=-5"],
        ["dead_letters", "redrive", "bot.dlq", "--rate=0"],
        ["dead_letters", "redrive", "bot.dlq", "--limit=0"],
        ["dead_letters", "list", "bot.dlq", "--limit=-1"],
        ["dead_letters", "purge", "bot.dlq", "--yes", "--limit=-1"],
        ["run_relay", "--shards=0"],
        ["run_relay", "--shard=-1", "--shards=2"],
        ["run_relay", "--metrics-port=-1"],
        ["run_dispatcher", "--metrics-port=70000"],
        ["smoke_test", "--trades=0"],
        ["walk", "--seconds=-1"],
    ],
    ids=" ".join,
)
def test_a_command_does_nothing_with_a_number_that_makes_no_sense(command: list[str]) -> None:
    with pytest.raises(CommandError, match=r"argument --[a-z-]+: '.*' is not a (whole )?number from .* to .*\."):
        call_command(*command)
