"""What the trader should know of at once, and what halts trading."""

from datetime import datetime
from uuid import UUID

from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import Page, given


class Alert(Answer):
    id: UUID
    kind: str
    severity: str
    code: str
    message: str
    bot_id: UUID | None
    credential_id: UUID | None
    occurred_at: datetime


class Halt(Answer):
    """`set_by` is who set it; a user lifts only what a user set."""

    id: UUID
    scope: str
    bot_id: UUID | None
    credential_id: UUID | None
    level: str
    set_by: str
    code: str
    reason: str
    since: datetime
    lifted_at: datetime | None

    @property
    def is_ours(self) -> bool:
        return self.set_by == "user"


def alerts(api: Api, *, limit: int = 50, cursor: str = "") -> Page[Alert]:
    return Page[Alert].read(api.get("bot/alerts", given(limit=limit, cursor=cursor)))


def halts(api: Api, *, limit: int = 50, cursor: str = "") -> Page[Halt]:
    """Those in force."""
    return Page[Halt].read(api.get("trading/halts", given(limit=limit, cursor=cursor)))


def halt_lift(api: Api, halt_id: UUID, *, key: str) -> None:
    """Raises ApiRefused for a halt that the caller did not set."""
    api.delete(f"trading/halts/{halt_id}", key=key)
