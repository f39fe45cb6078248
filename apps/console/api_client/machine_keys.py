"""Machine keys, for scripts (docs/accounts.md)."""

from datetime import datetime
from uuid import UUID

from apps.console.api_client.base import Answer, Api, Page


class MachineKey(Answer):
    id: UUID
    name: str
    hint: str
    scopes: list[str]
    networks: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewMachineKey(MachineKey):
    key: str


class MachineKeyPage(Page):
    results: list[MachineKey]


def listed(api: Api, cursor: str | None = None) -> MachineKeyPage:
    return MachineKeyPage.model_validate(api.get("auth/api-keys", {"cursor": cursor}))


def make(api: Api, *, name: str, scopes: list[str], networks: list[str], expires_at: datetime | None) -> NewMachineKey:
    """The key is in this answer alone."""
    body = {
        "name": name,
        "scopes": scopes,
        "networks": networks,
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    return NewMachineKey.model_validate(api.post("auth/api-keys", body))


def revoke(api: Api, key_id: UUID, *, key: str) -> None:
    api.delete(f"auth/api-keys/{key_id}", key=key)
