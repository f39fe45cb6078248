"""Read models can be rebuilt: emptied and replayed, they have the same rows."""

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from apps.bots.consumers import ALERTS, READ_MODELS
from apps.bots.models import Alert, BotOrder, BotStatus, BotTrade, OrderStep
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.publish import publish
from apps.events.store.selectors import event_get
from tests.factories.bots import Story
from tests.integration.bots.stories import deliver_all, everything, forget, tell

pytestmark = pytest.mark.django_db

load_consumers()


def test_read_models_rebuilt_from_nothing_equal_those_kept_live() -> None:
    stories = [
        tell(
            [
                ("user", 1),
                ("start", 1),
                ("buy", 5),
                ("trouble", 1),
                ("sell", 2),
                ("skip", 1),
                ("account", 1),
                ("order", 1),
            ]
        ),
        tell(
            [
                ("start", 1),
                ("buy", 9),
                ("crash", 1),
                ("start", 2),
                ("sell", 3),
                ("abandon", 4),
                ("order", 2),
                ("open order", 2),
                ("pause", 1),
            ]
        ),
    ]
    envelopes = [envelope for story in stories for envelope in story.envelopes]
    deliver_all(list(reversed(envelopes)))
    live = everything()
    assert all(live.values())

    forget("bot-read-models")
    assert not any(everything().values())
    deliver_all(envelopes)

    assert everything() == live


def test_a_replay_from_the_event_store_rebuilds_them() -> None:
    orders = [("order", 1), ("open order", 1), ("order", 2), ("end of order", 1)]
    story = tell(
        [("user", 1), ("start", 1), *orders, ("buy", 5), ("sell", 2), ("account", 1), ("skip", 1), ("abandon", 1)]
    )
    for told in story.envelopes:
        event_id = publish(told.message(), now=told.occurred_at, user_id=story.user_id)  # type: ignore[arg-type]
        published = event_get(event_id=event_id)
        assert published is not None
        assert deliver(published, group=READ_MODELS)
    live = everything()
    assert all(live.values())

    BotTrade.objects.all().delete()
    BotOrder.objects.update(state="planned", ended_at=None)
    OrderStep.objects.all().delete()
    BotStatus.objects.update(state="error", realised_pnl=Decimal(-1))
    call_command("replay_events", into="bot-read-models", stdout=StringIO(), stderr=StringIO())

    assert everything() == live


def test_alerts_rebuilt_from_nothing_equal_those_kept_live() -> None:
    story = Story()
    story.failed(is_final=True)
    story.failed(is_final=False)
    for envelope in story.envelopes:
        deliver(envelope, group=ALERTS)
    live = list(Alert.objects.order_by("id").values())

    forget("alerts")
    assert Alert.objects.count() == 0
    for envelope in story.envelopes:
        assert deliver(envelope, group=ALERTS)
    assert list(Alert.objects.order_by("id").values()) == live
