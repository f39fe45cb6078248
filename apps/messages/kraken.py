"""Events and alerts about exchange keys. They contain permissions and dates, never a key or a secret."""

from datetime import datetime
from uuid import UUID

from apps.core.terms import Mode
from apps.messages.base import Event, Priority, Status
from apps.messages.topics import KRAKEN_EVENTS


class KrakenKeyConnected(
    Event, name="kraken.key.connected", topic=KRAKEN_EVENTS.name, aggregate="credential", key="credential_id"
):
    credential_id: UUID
    user_id: UUID
    mode: Mode
    permissions: tuple[str, ...]
    expires_at: datetime | None = None


class KrakenKeyUpdated(
    Event, name="kraken.key.updated", topic=KRAKEN_EVENTS.name, aggregate="credential", key="credential_id"
):
    credential_id: UUID
    user_id: UUID
    changed: tuple[str, ...]


class KrakenKeyDisconnected(
    Event, name="kraken.key.disconnected", topic=KRAKEN_EVENTS.name, aggregate="credential", key="credential_id"
):
    credential_id: UUID
    user_id: UUID
    reason: str


class KrakenKeyTestFailed(
    Status,
    name="kraken.key.test.failed",
    aggregate="user",
    key="user_id",
    journal=KRAKEN_EVENTS.name,
    priority=Priority.HIGH,
):
    """A key did not pass its test. `credential_id` is missing where the key was refused before it was stored."""

    user_id: UUID
    credential_id: UUID | None = None
    mode: Mode
    code: str
    message: str
    failed_at: datetime


class KrakenKeyChecked(
    Status, name="kraken.key.checked", aggregate="credential", key="credential_id", journal=KRAKEN_EVENTS.name
):
    """What the exchange said of a key at its daily check."""

    credential_id: UUID
    user_id: UUID
    permissions: tuple[str, ...]
    ip_allowlist: tuple[str, ...]
    nonce_window: int
    expires_at: datetime | None = None
    checked_at: datetime
