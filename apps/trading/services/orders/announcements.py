"""Saves an order, publishes the step that it took and brings receipts up to date, in one transaction."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from apps.core.metrics import WORKERS, counter
from apps.events.store.publish import publish
from apps.messages.base import Event
from apps.messages.orders import (
    BotOrderEnded,
    BotOrderFilled,
    BotOrderNeedsPerson,
    BotOrderOpened,
    BotOrderPartlyFilled,
    BotOrderPlanned,
    BotOrderResolved,
    BotOrderSent,
    BotOrderUnknown,
)
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import ANNOUNCED_COLUMNS, OrderIntent
from apps.trading.services.orders.receipts import receipts_update

TRANSITIONS = counter(
    "order_transitions_total", "Orders that came to a state.", ["mode", "state"], processes=[*WORKERS, "reconciler"]
)

# The event that tells that an order has come to a state, or has learnt something in it.
EVENT_OF_STATE: Mapping[IntentState, type[Event]] = {
    IntentState.PLANNED: BotOrderPlanned,
    IntentState.SENDING: BotOrderSent,
    IntentState.OPEN: BotOrderOpened,
    IntentState.PARTIAL: BotOrderPartlyFilled,
    IntentState.FILLED: BotOrderFilled,
    IntentState.CANCELED: BotOrderEnded,
    IntentState.EXPIRED: BotOrderEnded,
    IntentState.REJECTED: BotOrderEnded,
    IntentState.NOT_PLACED: BotOrderEnded,
    IntentState.UNKNOWN: BotOrderUnknown,
    IntentState.NEEDS_HUMAN: BotOrderNeedsPerson,
}
# Leaving one of these ends a doubt. `sending` is none yet: its answer is on the way.
RESOLVABLE = (IntentState.UNKNOWN, IntentState.NEEDS_HUMAN)


@transaction.atomic
def order_save(intent: OrderIntent, *, now: datetime, since: Mapping[str, Any] | None = None, **options: Any) -> None:
    """Saves the order, and publishes what changed since it was stored. The caller holds the row's lock.

    `since`, from `order_as_stored`, is where the announced step began, if the row was saved in between with
    `announce_later`. `options` are those of Model.save. Raises IllegalTransition.
    """
    intent.save(announce=partial(_announce, intent, now, since), **options)


def order_as_stored(intent: OrderIntent) -> dict[str, Any]:
    """The announced columns of an order that was just read under its lock."""
    return {name: getattr(intent, name) for name in ANNOUNCED_COLUMNS}


def announce_later(_: Mapping[str, Any]) -> None:
    """For a save in the middle of a step: the same transaction ends with an `order_save` that announces it."""


def _announce(intent: OrderIntent, now: datetime, since: Mapping[str, Any] | None, stored: Mapping[str, Any]) -> None:
    if since is not None:
        stored = since
    observed = intent.evidence[len(stored.get("evidence", [])) :]
    is_step = observed or any(stored.get(name) != getattr(intent, name) for name in ("state", "txid", "filled_volume"))
    if not is_step:
        return
    facts = _facts(intent, observed, now)
    was = stored.get("state")
    if was in RESOLVABLE and was != intent.state and intent.state not in RESOLVABLE:
        operator = next((entry["operator"] for entry in observed if "operator" in entry), "")
        publish(BotOrderResolved(**facts, was=was, operator=operator), now=now)
    publish(EVENT_OF_STATE[IntentState(intent.state)](**facts), now=now)
    if was != intent.state:
        mode, state = intent.run.mode, intent.state
        # A transaction that is rolled back changes no order.
        transaction.on_commit(lambda: TRANSITIONS.labels(mode, state).inc())
    if intent.command_id is not None or intent.cancel_requested_at is not None or was in RESOLVABLE:
        # Only of such orders is the end known later than that of the command that placed or ended them.
        receipts_update(intent)


def _facts(intent: OrderIntent, observed: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    definition = intent.run.definition
    return {
        "bot_id": intent.bot_id,
        "run_id": intent.run_id,
        "user_id": intent.run.user_id,
        "credential_id": intent.credential_id,
        "order_id": intent.id,
        "command_id": intent.command_id,
        "decision_id": intent.decision_id,
        "attempt": intent.attempt,
        "client_order_id": intent.cl_ord_id,
        "exchange_order_id": intent.txid,
        "mode": definition.mode,
        "strategy": definition.strategy,
        "pair": intent.pair,
        "side": intent.side,
        "kind": intent.kind,
        "price": intent.price,
        "volume": intent.volume,
        "filled_volume": intent.filled_volume,
        "filled_cost": intent.filled_cost,
        "filled_fee": intent.filled_fee,
        "state": intent.state,
        "code": intent.state_code,
        "reason": intent.reason,
        "evidence": tuple(observed),
        "market_time": intent.candle_at,
        "planned_at": intent.planned_at,
        "sent_at": intent.sent_at,
        "deadline": intent.deadline,
        "cancel_requested_at": intent.cancel_requested_at,
        "ended_at": intent.ended_at,
        "changed_at": now,
    }
