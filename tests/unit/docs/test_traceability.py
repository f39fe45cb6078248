"""No requirement of the specification is missing in the traceability page, and all that it names exists."""

import ast
import re
from functools import cache

import pytest

from dev.docs import pages
from tests.support.documents import ROOT

# What the platform was ordered with, by section: each section's requirements are numbered from 1.
NUMBERS = {
    "FR1.": 7,
    "FR2.": 10,
    "FR3.": 4,
    "FR4.": 4,
    "NFR1.": 4,
    "NFR2.": 4,
    "NFR3.": 4,
    "NFR4.": 4,
    "NFR5.": 4,
    "FLOW": 3,
    "TOPIC": 4,
    "QUEUE": 7,
    "PATTERN": 3,
    "DB": 3,
    "SEC": 3,
    "D": 14,
    "DOC": 10,
    "OK": 10,
    "RUN": 4,
}
EVERY = [pytest.param(each, id=each["id"]) for each in pages.requirements()]
THREATS = re.findall(r"^\| (.+?) \| .+? \| `(.+?)` \|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)


def test_every_requirement_of_the_specification_is_there_once() -> None:
    wanted = [f"{section}{number}" for section, count in NUMBERS.items() for number in range(1, count + 1)]
    assert sorted(each["id"] for each in pages.requirements()) == sorted(wanted)


@pytest.mark.parametrize("each", EVERY)
def test_what_a_requirement_names_exists(each: dict[str, object]) -> None:
    built, tests = each["built"], each["tests"]
    assert isinstance(built, list)
    assert isinstance(tests, list)
    assert built
    assert tests
    assert [path for path in built if not (ROOT / path).exists()] == []
    assert [test for test in tests if not names_a_test(test)] == []


@pytest.mark.parametrize("each", EVERY)
def test_what_is_built_in_part_says_what_is_missing(each: dict[str, object]) -> None:
    assert each.get("state", "built") in {"built", "part"}
    assert each.get("state") != "part" or each.get("note")


def test_the_page_is_up_to_date() -> None:
    assert pages.TRACEABILITY.read_text() == pages.traceability()


def test_every_threat_names_a_test_that_exists() -> None:
    assert len(THREATS) >= 30
    assert [(threat, test) for threat, test in THREATS if not names_a_test(test)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert not names_a_test("tests/unit/docs/test_traceability.py::test_of_nothing")
    assert not names_a_test("tests/unit/docs/test_of_nothing.py")


def names_a_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return (ROOT / path).is_file() and (not function or function in _functions(path))


@cache
def _functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
