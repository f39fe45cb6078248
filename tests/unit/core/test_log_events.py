"""Log events are names with fields, so that they can be searched and counted; sentences for people go into fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def log_calls(source: str) -> Iterator[ast.Call]:
    """Calls like ``log.info(...)`` and ``logger.bind(...).warning(...)``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            owner = node.func.value
            while isinstance(owner, ast.Call | ast.Attribute):
                owner = owner.func if isinstance(owner, ast.Call) else owner.value
            if isinstance(owner, ast.Name) and owner.id.strip("_") in {"log", "logger"}:
                yield node


def is_named(call: ast.Call) -> bool:
    """One name, and nothing but keyword arguments behind it."""
    [*names] = call.args
    return (
        len(names) == 1
        and isinstance(names[0], ast.Constant)
        and isinstance(names[0].value, str)
        and NAME.fullmatch(names[0].value) is not None
    )


def test_every_log_event_is_a_snake_case_name_with_fields() -> None:
    seen = 0
    wrong = []
    for folder in ("apps", "platform"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for call in log_calls(path.read_text()):
                seen += 1
                if not is_named(call):
                    wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}")
    assert seen > 50
    assert wrong == []


@pytest.mark.parametrize(
    "call",
    ['log.info("Order 5 was sent.")', 'log.info(f"order_{1}")', 'logger.warning("order_sent", 5)', "log.error(text)"],
)
def test_sentences_and_positional_values_are_noticed(call: str) -> None:
    [found] = log_calls(call)
    assert not is_named(found)
