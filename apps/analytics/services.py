"""Adds events to the daily figures. Which event was added before is the inbox's to know."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import singledispatch
from typing import Any

from django.db import connection

from apps.analytics.models import DailyFigure
from apps.core.identity.principal import Role
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStarted
from apps.messages.definitions import BotCreated
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyConnected, KrakenKeyTestFailed
from apps.messages.trading import TradeExecuted
from apps.messages.user import OnboardingCompleted, UserCreated, UserLoggedIn, UserLoggedInByPasskey

Figure = DailyFigure.Figure

_ADD = """
INSERT INTO daily_figure (id, day, figure, mode, asset, value)
SELECT day || '/' || figure || '/' || mode || '/' || asset, day, figure, mode, asset, value
  FROM unnest(%s::date[], %s::text[], %s::text[], %s::text[], %s::numeric[]) AS added (day, figure, mode, asset, value)
 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET value = daily_figure.value + excluded.value
"""


@dataclass(frozen=True, order=True)
class _Row:
    day: date
    figure: str
    mode: str = ""
    asset: str = ""


def figures_add(batch: Iterable[tuple[Message, Envelope]]) -> None:
    """Adds a batch of events in the caller's transaction. Days are UTC: of a fill the exchange's, of everything else
    that of the event. Rows are locked in one order, so that two batches cannot wait for each other.

    Raises DatabaseError.
    """
    added: dict[_Row, Decimal] = defaultdict(Decimal)
    for message, envelope in batch:
        for row, value in _parts(message, envelope):
            added[row] += value
    if not added:
        return
    rows = sorted(added)
    columns: list[Any] = [
        [each.day for each in rows],
        [each.figure for each in rows],
        [each.mode for each in rows],
        [each.asset for each in rows],
        [added[each] for each in rows],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, columns)


def _one(figure: DailyFigure.Figure, moment: datetime, mode: str = "") -> list[tuple[_Row, Decimal]]:
    return [(_Row(_day(moment), figure.value, mode), Decimal(1))]


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


@singledispatch
def _parts(message: Message, _: Envelope) -> list[tuple[_Row, Decimal]]:
    raise TypeError(f"No daily figure counts {type(message).__name__}.")


@_parts.register
def _(message: UserCreated, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    # Accounts that operators open for staff are no registrations.
    return _one(Figure.REGISTRATIONS, envelope.occurred_at) if Role.TRADER in message.roles else []


@_parts.register(UserLoggedIn)
@_parts.register(UserLoggedInByPasskey)
def _(_: Message, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.LOG_INS, envelope.occurred_at)


@_parts.register(OnboardingCompleted)
def _(_: Message, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.ONBOARDINGS, envelope.occurred_at)


@_parts.register
def _(message: KrakenKeyConnected, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.KEYS, envelope.occurred_at, message.mode)


@_parts.register
def _(message: BotCreated, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.BOTS, envelope.occurred_at, message.mode)


@_parts.register(BotStarted)
def _(_: Message, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.STARTS, envelope.occurred_at)


@_parts.register(BotError)
@_parts.register(KrakenKeyTestFailed)
def _(_: Message, envelope: Envelope) -> list[tuple[_Row, Decimal]]:
    return _one(Figure.ERRORS, envelope.occurred_at)


@_parts.register
def _(message: TradeExecuted, _: Envelope) -> list[tuple[_Row, Decimal]]:
    day = _day(message.executed_at)
    volume = _Row(day, Figure.VOLUME.value, message.mode, message.quote_asset)
    return [(_Row(day, Figure.TRADES.value, message.mode), Decimal(1)), (volume, message.cost)]
