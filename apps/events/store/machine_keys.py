"""Publishes that a machine key was used from a network that it had not been used from before."""

from datetime import datetime
from uuid import UUID

from apps.core.api.machine_key_use import listeners
from apps.events.store.publish import publish
from apps.messages.user import UserApiKeyUsedFromNewAddress


def machine_key_used_from_new_address(user_id: UUID, key_id: UUID, now: datetime) -> None:
    publish(UserApiKeyUsedFromNewAddress(user_id=user_id, key_id=key_id), now=now)


def listen() -> None:
    if machine_key_used_from_new_address not in listeners:
        listeners.append(machine_key_used_from_new_address)
