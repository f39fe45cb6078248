"""The table of an order's life: what it allows, and that nothing writes a state past it."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from django.conf import settings

from apps.trading.errors import IllegalTransition
from apps.trading.models.order_states import (
    ACTIVE_STATES,
    DOUBTFUL_STATES,
    INITIAL_STATE,
    MEANINGS,
    RESTING_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    IntentState,
    as_mermaid,
    check_transition,
    is_legal,
)
from apps.trading.models.orders import OrderIntent

PAIRS = list(product(IntentState, IntentState))
LEGAL = [(state, new) for state, following in TRANSITIONS.items() for new in following]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


@pytest.mark.parametrize(("current", "new"), ILLEGAL)
def test_a_pair_that_is_not_in_the_table_raises(current: IntentState, new: IntentState) -> None:
    intent = OrderIntent(state=current, cl_ord_id="mk-1")
    with pytest.raises(IllegalTransition, match=f"mk-1 is {current}: it cannot become {new}"):
        intent.move_to(new)
    assert intent.state == current


@pytest.mark.parametrize(("current", "new"), LEGAL)
def test_a_pair_of_the_table_passes(current: IntentState, new: IntentState) -> None:
    intent = OrderIntent(state=current, cl_ord_id="mk-1")
    intent.move_to(new)
    assert intent.state == new


def test_what_is_no_state_raises() -> None:
    for current, new in (("lost", "open"), ("planned", "lost"), ("", "")):
        with pytest.raises(IllegalTransition):
            check_transition(current, new, client_order_id="mk-1")


def test_every_state_is_either_active_or_terminal() -> None:
    assert set(TRANSITIONS) == set(MEANINGS) == set(IntentState)
    assert sorted([*ACTIVE_STATES, *TERMINAL_STATES]) == sorted(IntentState)
    assert {*DOUBTFUL_STATES, *RESTING_STATES} < set(ACTIVE_STATES)


def test_every_state_can_be_reached_and_every_active_one_can_end() -> None:
    def reached_from(state: IntentState) -> set[IntentState]:
        seen, left = {state}, [state]
        while left:
            new = set(TRANSITIONS[left.pop()]) - seen
            seen |= new
            left += new
        return seen

    assert reached_from(INITIAL_STATE) == set(IntentState)
    for state in IntentState:
        assert reached_from(state) & set(map(IntentState, TERMINAL_STATES))


def test_an_order_that_may_have_been_sent_is_never_sent_again() -> None:
    assert [state for state in IntentState if is_legal(state, IntentState.SENDING)] == [IntentState.PLANNED]


def test_doubt_is_left_by_evidence_alone() -> None:
    """A doubtful order cannot end as filled or cancelled unless the exchange named it first."""
    assert set(TRANSITIONS[IntentState.UNKNOWN]) == {"open", "rejected", "not_placed", "needs_human"}
    assert set(TRANSITIONS[IntentState.NEEDS_HUMAN]) == {"open", "rejected", "not_placed"}


def test_the_diagram_has_each_transition_once() -> None:
    lines = as_mermaid().splitlines()
    for state, new in LEGAL:
        assert sum(line.startswith(f"    {state.value} --> {new.value}:") for line in lines) == 1
    assert len(lines) == 2 + len(LEGAL) + len(TERMINAL_STATES)


# Who may assign to an attribute `state`, or write a column of that name, in the code that trades.
MAY_WRITE = {("models/orders.py", "self"), ("services/orders/staff_entries.py", "kind")}
# Runs have a state of their own, and so have people's entries, of either kind.
OTHERS = {"run", "BotRun"}
WRITING_SQL = re.compile(r"\b(UPDATE|INTO|DELETE\s+FROM|TRUNCATE)\s+(bots\.)?\"?trading_order_intent", re.I)


def test_nothing_else_writes_the_state_of_an_order() -> None:
    root = settings.BASE_DIR / "apps" / "trading"
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in root.rglob("*.py")
        if "migrations" not in path.parts
        for line, what, owner in writes_of_state(ast.parse(path.read_text()))
        if (str(path.relative_to(root)), owner) not in MAY_WRITE and owner not in OTHERS
    ]
    assert found == []


def test_no_statement_of_sql_writes_orders() -> None:
    apps: Path = settings.BASE_DIR / "apps"
    sources = (path for path in apps.rglob("*.py") if "migrations" not in path.parts)
    assert [path for path in sources if WRITING_SQL.search(path.read_text())] == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trading_order_intent SET state = 'open'",
        "insert into bots.trading_order_intent (id)",
        "DELETE  FROM\n trading_order_intent",
    ],
)
def test_such_a_statement_would_be_found(statement: str) -> None:
    assert WRITING_SQL.search(statement)


@pytest.mark.parametrize(
    "code",
    [
        "intent.state = 'open'",
        "intent.state, x = 'open', 1",
        "intent.state: str = 'open'",
        "setattr(intent, 'state', 'open')",
        "OrderIntent.objects.filter(id=1).update(state='open')",
        "run.intents.update(**{'state': 'open'})",
        "OrderIntent.objects.bulk_update(rows, ['state'])",
        "OrderIntent.objects.create(state='open')",
        "OrderIntent.objects.update_or_create(id=1, defaults={'state': 'open'})",
        "OrderIntent(state='open')",
    ],
)
def test_the_walk_sees_every_way_to_write_a_state(code: str) -> None:
    assert list(writes_of_state(ast.parse(code)))


WRITING_CALLS = {"update", "create", "get_or_create", "update_or_create", "bulk_update", "setattr", "OrderIntent"}


def writes_of_state(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, code and owner of everything that may write an attribute or column `state`.

    The owner is the name that the expression begins with: `intent` of `intent.state = …`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "state" and isinstance(node.ctx, ast.Store):
            yield node.lineno, ast.unparse(node), _owner(node)
        elif isinstance(node, ast.Call) and _called(node.func) in WRITING_CALLS:
            names = {keyword.arg for keyword in node.keywords}
            # Reads of a queryset may name the state: filter(state=…).update(…) is no write of it.
            strings = {
                text.value
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
                for text in ast.walk(argument)
                if isinstance(text, ast.Constant)
            }
            if "state" in names | strings:
                yield node.lineno, ast.unparse(node), _owner(node.func)


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _owner(node: ast.expr) -> str:
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return ""
    return node.id
