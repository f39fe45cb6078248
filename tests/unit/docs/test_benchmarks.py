"""The page of measurements."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from dev.docs import benchmarks
from dev.docs.benchmarks import Figure

RELAY = Figure(
    test="tests/bench/test_relay.py::test_a",
    name="relay",
    unit="events/s",
    better="higher",
    goal=1000,
    note="",
    samples=[900, 1100, 1200],
    at="2026-03-01T12:00:00+00:00",
    load=0.5,
    machine={"processor": "2 cores"},
)


def test_the_page_and_its_plots_are_those_of_the_kept_figures() -> None:
    assert benchmarks.stale() == []


def test_a_test_that_ran_again_replaces_all_its_figures_and_leaves_those_of_others() -> None:
    gone = replace(RELAY, name="an old name")
    other = replace(RELAY, test="tests/bench/test_relay.py::test_b")
    new = replace(RELAY, samples=[5])
    assert benchmarks.merged([RELAY, gone, other], [new]) == [new, other]


@pytest.mark.parametrize(
    ("better", "samples", "meets"),
    [("higher", [900, 1100, 1200], True), ("higher", [900, 950, 1200], False), ("lower", [900, 950, 1200], True)],
)
def test_a_goal_is_compared_with_the_median(better: str, samples: list[float], meets: bool) -> None:
    assert replace(RELAY, better=better, samples=samples).meets_goal is meets


def test_a_missed_goal_is_said() -> None:
    assert "**missed**" in benchmarks.page([replace(RELAY, samples=[10])])
    assert "**missed**" not in benchmarks.page([RELAY])


def test_the_machine_and_the_day_are_said() -> None:
    assert "| 2026-03-01 | 2 cores |" in benchmarks.page([RELAY])


def test_a_plot_is_well_formed_and_shows_each_round() -> None:
    drawn = ElementTree.fromstring(benchmarks.plot(replace(RELAY, name="a < b & c")))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == 3


def test_a_figure_of_zeros_can_be_drawn() -> None:
    ElementTree.fromstring(benchmarks.plot(replace(RELAY, samples=[0, 0], goal=None)))
