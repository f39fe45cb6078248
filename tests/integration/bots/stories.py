"""Random event sequences of bots, their delivery, and the resulting read models."""

from typing import Any
from uuid import UUID

from django.db import models

from apps.bots.consumers import READ_MODELS
from apps.bots.models import (
    AccountTrade,
    BotOrder,
    BotStatus,
    BotTrade,
    OrderStep,
    PositionRelease,
    RunEvent,
    UserTrading,
)
from apps.events.consumers.delivery import deliver
from apps.events.consumers.projections import projection
from apps.events.models import InboxEntry
from apps.messages.envelope import Envelope
from apps.messages.user import UserCreated
from tests.factories.bots import Story

READ_MODEL_TABLES: list[type[models.Model]] = [
    BotStatus,
    RunEvent,
    BotTrade,
    BotOrder,
    OrderStep,
    PositionRelease,
    AccountTrade,
    UserTrading,
]


def deliver_all(envelopes: list[Envelope]) -> None:
    for envelope in envelopes:
        assert deliver(envelope, group=READ_MODELS)


def forget(name: str) -> None:
    """Empties a projection and its inbox."""
    found = projection(name)
    assert found is not None
    for model in found.models:
        model._default_manager.all().delete()
    InboxEntry.objects.filter(consumer=found.group).delete()


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows of all read models."""
    return {
        model.__name__: sorted(model._default_manager.values(), key=lambda row: str(sorted(row.items(), key=str)))
        for model in READ_MODEL_TABLES
    }


ACTIONS = (
    "start",
    "stop",
    "pause",
    "flatten",
    "crash",
    "trouble",
    "late word of an old run",
    "skip",
    "buy",
    "sell",
    "abandon",
    "account",
    "user",
    "order",
    "open order",
    "end of order",
)


def tell(actions: list[tuple[str, int]]) -> Story:
    """A random sequence of events, including runs that publish after their successor began."""
    story = Story()
    runs: list[UUID] = [story.run_id]
    for action, number in actions:
        match action:
            case "start":
                story.started(version=number)
                runs.append(story.run_id)
            case "stop" | "pause" | "flatten":
                story.stopped(manner=action, open_orders=("O1",) if number % 2 else ())
            case "crash":
                story.failed(is_final=True)
                story.stopped(manner="error")
            case "trouble":
                story.failed(is_final=False, code=f"trouble_{number}")
            case "late word of an old run":
                story.stopped(run_id=runs[number % len(runs)])
            case "skip":
                story.skipped(code=f"skip_{number}")
            case "buy" | "sell":
                story.traded(action, volume=f"0.{number:03d}", price=str(9000 + 100 * number), fee=f"0.{number:02d}")
            case "order" | "open order" | "end of order":
                # One order a number, so that several steps of one order may follow each other.
                step = {"order": "planned", "open order": "open", "end of order": "filled"}[action]
                story.order(step, order_id=UUID(int=story.bot_id.int ^ number))
            case "abandon" | "account":
                story.abandoned(volume=f"0.{number:03d}") if action == "abandon" else story.account_traded("buy")
            case "user":
                if not any(envelope.event_type == "user.created" for envelope in story.envelopes):
                    story.tell(UserCreated(user_id=story.user_id, roles=("trader",), created_at=story.now))
    return story
