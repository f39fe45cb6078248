"""What happened to the account, its keys and its bots, newest first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.console.api_client.base import Answer, Api, Page


class Entry(Answer):
    id: UUID
    type: str
    occurred_at: datetime
    aggregate_type: str
    aggregate_id: UUID
    payload: dict[str, Any]
    actor: str
    session_id: UUID | None
    machine_key_id: UUID | None
    client: str
    address: str | None
    device: str | None


class ActivityPage(Page):
    results: list[Entry]


def listed(api: Api, cursor: str | None = None) -> ActivityPage:
    return ActivityPage.model_validate(api.get("user/me/activity", {"cursor": cursor, "limit": 50}))
