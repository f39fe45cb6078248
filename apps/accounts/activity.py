"""A user's activity: the events about the account, each with who did it, from which session, address and device."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.core.identity.actor import ActorKind
from apps.core.identity.user_agents import device_name
from apps.events.models import ClientRecord, StoredEvent


class ClientState(StrEnum):
    """Whether address and device of an entry are shown."""

    KNOWN = "known"
    # Their record has been deleted: with an account, or after its time.
    ERASED = "erased"
    # A process did it, or the event is from before events had an actor.
    NONE = "none"
    # A member of staff did it on another one's account.
    WITHHELD = "withheld"


@dataclass(frozen=True)
class ActivityEntry:
    event: StoredEvent
    payload: Any
    actor: str
    session_id: UUID | None
    machine_key_id: UUID | None
    client: ClientState
    address: str | None
    device: str | None


def activity_entries(events: Sequence[StoredEvent], *, user_id: UUID) -> list[ActivityEntry]:
    """The entries of one page of events, with one query for all of their clients."""
    actors = [json.loads(event.actor) if event.actor else {} for event in events]
    digests = [bytes.fromhex(actor["client"]) for actor in actors if "client" in actor]
    records = {bytes(record.digest): record for record in ClientRecord.objects.filter(digest__in=digests)}
    return [_entry(event, actor, records, user_id) for event, actor in zip(events, actors, strict=True)]


def _entry(
    event: StoredEvent, actor: dict[str, str], records: dict[bytes, ClientRecord], user_id: UUID
) -> ActivityEntry:
    payload = json.loads(bytes(event.payload))
    record = records.get(bytes.fromhex(actor.get("client", "")))
    state = _state(actor, record, user_id)
    shown = record if state is ClientState.KNOWN else None
    # A log-in has its session in the payload: the request began without one.
    session = actor.get("session") or payload.get("session_id")
    is_withheld = state is ClientState.WITHHELD
    return ActivityEntry(
        event=event,
        payload=payload,
        actor=actor.get("kind", ""),
        session_id=UUID(session) if session and not is_withheld else None,
        machine_key_id=UUID(actor["key"]) if "key" in actor else None,
        client=state,
        address=shown.address if shown else None,
        device=device_name(shown.user_agent) if shown else None,
    )


def _state(actor: dict[str, str], record: ClientRecord | None, user_id: UUID) -> ClientState:
    if actor.get("kind") == ActorKind.STAFF and actor.get("id") != str(user_id):
        return ClientState.WITHHELD
    if "client" not in actor:
        return ClientState.NONE
    return ClientState.KNOWN if record else ClientState.ERASED
