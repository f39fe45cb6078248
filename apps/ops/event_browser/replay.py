"""A replay to the screen: the events of an aggregate or chain in order, with the state that each left."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from apps.audit.replay.shadow import RebuildUnderWay, Shadow
from apps.bots.models import BotStatus
from apps.bots.projections import BOT_READ_MODELS
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.models import StoredEvent
from apps.events.store.selectors import envelope_of

PAGE_EVENTS = 100
# With states, the story is told from its beginning: a longer one is for `manage.py replay_events`.
MOST_WITH_STATES = 500


@dataclass(frozen=True)
class Step:
    """An event with its payload and, where the read model of bots takes it, the bot's state after it, both as text."""

    event: StoredEvent
    payload: str
    state: str = ""


def steps_of(events: Sequence[StoredEvent]) -> list[Step]:
    return [Step(event, payload_text(event)) for event in events]


def steps_with_states(events: Sequence[StoredEvent]) -> tuple[list[Step], str]:
    """The steps with the state after each, and why there are none where there are none.

    The handlers of the read model of bots take the events into temporary tables, as a rebuild does: nothing that
    others see is read or written. Raises DatabaseError.
    """
    load_consumers()
    shadow = Shadow(BOT_READ_MODELS)
    try:
        shadow.open()
    except RebuildUnderWay as error:
        shadow.close()
        return steps_of(events), error.message
    with closing(shadow), transaction.atomic():
        shadow.refuse_live_tables()
        return _told(events), ""


def _told(events: Sequence[StoredEvent]) -> list[Step]:
    replay_id, steps = uuid4(), []
    for event in events:
        envelope = replace(envelope_of(event), replay_id=replay_id)
        is_taken = deliver(envelope, group=BOT_READ_MODELS.group)
        steps.append(Step(event, payload_text(event), _state_of(event.aggregate_id) if is_taken else ""))
    return steps


def _state_of(bot_id: UUID) -> str:
    status = BotStatus.objects.filter(pk=bot_id).first()
    return (
        _text({each.attname: getattr(status, each.attname) for each in status._meta.concrete_fields}) if status else ""
    )


def payload_text(event: StoredEvent) -> str:
    return _text(json.loads(bytes(event.payload)))


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
