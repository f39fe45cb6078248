"""The table of an order's life against the database: every pair of states, and every way to write one."""

from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from apps.trading.errors import IllegalTransition
from apps.trading.models.order_states import NEVER_SENT, RESTING_STATES, TERMINAL_STATES, IntentState, is_legal
from apps.trading.models.orders import OrderIntent
from apps.trading.services.orders.announcements import order_save
from tests.factories.trading import NOW, fake_exchange, planned_order

pytestmark = pytest.mark.django_db

PAIRS = list(product(IntentState, IntentState))


@pytest.fixture
def intent() -> OrderIntent:
    return planned_order(fake_exchange([30000] * 30)).intent


def columns_of(state: IntentState) -> dict[str, Any]:
    """What the constraints of the table ask of an order in this state."""
    columns: dict[str, Any] = {"state": state, "evidence": [{"because": "test"}], "ended_at": None}
    if state not in NEVER_SENT:
        columns |= {"sent_at": NOW, "deadline": NOW + timedelta(seconds=5)}
    if state in RESTING_STATES or state == IntentState.FILLED:
        columns["txid"] = "OABC"
    if state == IntentState.FILLED:
        columns["filled_volume"] = Decimal("0.01")
    if state in TERMINAL_STATES:
        columns |= {"ended_at": NOW, "reserved_quote": 0}
    return columns


def put(intent: OrderIntent, state: IntentState) -> OrderIntent:
    """The order as it is in a state, past the table: only tests do this."""
    OrderIntent._base_manager.filter(id=intent.id).update(**columns_of(state))
    return OrderIntent.objects.get(id=intent.id)


def stored_state(intent: OrderIntent) -> str:
    return OrderIntent.objects.values_list("state", flat=True).get(id=intent.id)


def test_each_pair_is_stored_or_refused_as_the_table_says(intent: OrderIntent) -> None:
    for current, new in PAIRS:
        order = put(intent, current)
        for name, value in columns_of(new).items():
            setattr(order, name, value)
        if is_legal(current, new) or current == new:
            order_save(order, now=NOW)
            assert stored_state(intent) == new
        else:
            with pytest.raises(IllegalTransition):
                order_save(order, now=NOW)
            assert stored_state(intent) == current
        OrderIntent._base_manager.filter(id=intent.id).update(
            state=IntentState.PLANNED, txid="", filled_volume=0, ended_at=None, sent_at=None, deadline=None
        )


def test_an_object_that_was_loaded_before_another_change_cannot_undo_it(intent: OrderIntent) -> None:
    stale = put(intent, IntentState.OPEN)
    put(intent, IntentState.CANCELED)
    stale.reason = "written late"
    with pytest.raises(IllegalTransition, match="is canceled: it cannot become open"):
        stale.save()
    assert stored_state(intent) == IntentState.CANCELED


def test_two_holders_of_an_order_cannot_both_decide_it(intent: OrderIntent) -> None:
    first, second = (OrderIntent.objects.get(id=intent.id) for _ in range(2))
    first.move_to(IntentState.NOT_PLACED)
    first.ended_at, first.reserved_quote, first.evidence = NOW, Decimal(0), [{"because": "test"}]
    order_save(first, now=NOW)
    second.move_to(IntentState.SENDING)
    second.sent_at = second.deadline = NOW
    with pytest.raises(IllegalTransition, match="is not_placed: it cannot become sending"):
        second.save()
    assert stored_state(intent) == IntentState.NOT_PLACED


def test_an_order_begins_as_planned_alone(intent: OrderIntent) -> None:
    facts = {field.attname: getattr(intent, field.attname) for field in OrderIntent._meta.fields if field.name != "id"}
    changes = {"decision_id": "x" * 32, "side": "sell", "cl_ord_id": "mk-other", **columns_of(IntentState.OPEN)}
    with pytest.raises(IllegalTransition):
        OrderIntent.objects.create(**(facts | changes))
    assert OrderIntent.objects.count() == 1


def test_many_orders_at_once_are_not_given_a_state(intent: OrderIntent) -> None:
    orders = OrderIntent.objects
    with pytest.raises(TypeError):
        orders.update(state=IntentState.SENDING)
    with pytest.raises(TypeError):
        orders.filter(state=IntentState.PLANNED).update(state=IntentState.SENDING)
    with pytest.raises(TypeError):
        intent.run.intents.update(state=IntentState.SENDING)
    with pytest.raises(TypeError):
        orders.bulk_update([intent], ["state"])
    with pytest.raises(TypeError):
        orders.bulk_create([intent])
    assert stored_state(intent) == IntentState.PLANNED


def test_saving_other_columns_leaves_the_state_of_another_worker(intent: OrderIntent) -> None:
    put(intent, IntentState.CANCELED)
    intent.cancel_requested_at = NOW
    intent.save(update_fields=["cancel_requested_at"])
    assert stored_state(intent) == IntentState.CANCELED
