"""The daily figures count each event once, on its UTC day, and a rebuild makes the same rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import transaction

from apps.analytics.consumers import ANALYTICS
from apps.analytics.models import DailyFigure
from apps.core.terms import Mode, Side
from apps.events.consumers.delivery import deliver_batch
from apps.events.consumers.registry import load_consumers
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of as stored_envelope
from apps.messages.base import Event, Status
from apps.messages.bots import BotError, BotStarted
from apps.messages.envelope import Envelope
from apps.messages.kraken import KrakenKeyConnected
from apps.messages.trading import TradeExecuted
from apps.messages.user import OnboardingCompleted, UserCreated, UserLoggedIn
from tests.support.consumers import consuming, drive_consumers
from tests.support.envelopes import envelope_of
from tests.support.relaying import drain

load_consumers()

LATE = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)


def _user(*roles: str) -> UserCreated:
    return UserCreated(user_id=uuid4(), roles=roles, created_at=LATE)


def _log_in() -> UserLoggedIn:
    return UserLoggedIn(user_id=uuid4(), session_id=uuid4(), method="password")


def _trade(cost: str, *, quote: str = "ZUSD", executed_at: datetime = LATE) -> TradeExecuted:
    return TradeExecuted(
        credential_id=uuid4(), user_id=uuid4(), trade_id=uuid4(), order_id=uuid4(), exchange_trade_id="T",
        mode=Mode.PAPER, pair="XBTUSD", base_asset="XXBT", quote_asset=quote, side=Side.BUY, price=Decimal("100"),
        volume=Decimal("1"), cost=Decimal(cost), fee=Decimal("0.1"), executed_at=executed_at,
    )  # fmt: skip


def _error() -> BotError:
    return BotError(bot_id=uuid4(), user_id=uuid4(), code="c", message="m", is_final=False, failed_at=LATE)


def _key() -> KrakenKeyConnected:
    return KrakenKeyConnected(credential_id=uuid4(), user_id=uuid4(), mode=Mode.LIVE, permissions=())


def _started() -> BotStarted:
    return BotStarted(bot_id=uuid4(), user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=LATE)


def _figures() -> dict[str, Decimal]:
    return {row.id: Decimal(str(row.value)) for row in DailyFigure.objects.all()}


def _deliver(envelopes: Sequence[Envelope]) -> int:
    return deliver_batch(envelopes, group=ANALYTICS)


@pytest.mark.django_db
def test_each_event_is_counted_on_its_utc_day_once_however_often_it_is_delivered() -> None:
    story: list[Any] = [
        _user("trader"), _user("support"), _log_in(), _log_in(), _key(), _error(), _started(),
        OnboardingCompleted(user_id=uuid4(), completed_at=LATE),
        _trade("10.5"), _trade("0.0000000001"), _trade("7", quote="ZEUR"),
    ]  # fmt: skip
    envelopes = [envelope_of(message, occurred_at=LATE) for message in story]
    # A fill that was found out on the day after it happened.
    envelopes.append(envelope_of(_trade("1", executed_at=LATE), occurred_at=NEXT_DAY))
    envelopes.append(envelope_of(_log_in(), occurred_at=NEXT_DAY))

    assert _deliver(envelopes) == 13
    assert _deliver(envelopes) == 0

    assert _figures() == {
        "2026-03-01/registrations//": 1,
        "2026-03-01/log_ins//": 2,
        "2026-03-01/keys/live/": 1,
        "2026-03-01/errors//": 1,
        "2026-03-01/starts//": 1,
        "2026-03-01/onboardings//": 1,
        "2026-03-01/trades/paper/": 4,
        "2026-03-01/volume/paper/ZUSD": Decimal("11.5000000001"),
        "2026-03-01/volume/paper/ZEUR": 7,
        "2026-03-02/log_ins//": 1,
    }
    assert DailyFigure.objects.get(pk="2026-03-02/log_ins//").day == date(2026, 3, 2)


def _publish(*messages: Event | Status) -> None:
    with transaction.atomic():
        for message in messages:
            publish(message, now=LATE)


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_from_the_event_store_makes_the_same_rows() -> None:
    _publish(_user("trader"), _trade("10.5"), _trade("2"), _error())
    _deliver([stored_envelope(row) for row in StoredEvent.objects.all()])
    right = _figures()
    assert right["2026-03-01/volume/paper/ZUSD"] == Decimal("12.5")
    DailyFigure.objects.filter(figure="volume").update(value=1)
    DailyFigure.objects.filter(figure="errors").delete()
    DailyFigure.objects.create(id="x", day=LATE.date(), figure="bots", value=3)

    told = StringIO()
    call_command("replay_events", into="daily-figures", source="store", stdout=StringIO(), stderr=told)

    assert _figures() == right, told.getvalue()


@pytest.mark.django_db(transaction=True)
def test_status_messages_are_read_from_their_journal_in_kafka(topic: str) -> None:
    _publish(_error(), _error(), _log_in())
    OutboxRow.objects.filter(transport="rabbitmq").delete()
    OutboxRow.objects.update(destination=topic)
    drain(topic)

    with consuming(ANALYTICS, topic) as consumer:
        drive_consumers(consumer, until=lambda: sum(_figures().values()) == 3)

    assert _figures() == {"2026-03-01/errors//": 2, "2026-03-01/log_ins//": 1}
