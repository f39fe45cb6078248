"""What the vault holds of a user, for the export: never a secret, nor what it is encrypted with."""

from collections.abc import Iterator
from uuid import UUID

from apps.core.batches import in_batches
from apps.core.personal_data import Row
from apps.vault.models import Credential


def exchange_key_rows(user_id: UUID) -> Iterator[Row]:
    return in_batches(
        Credential.objects.filter(user_id=user_id),
        "id", "label", "mode", "state", "key_hint", "permissions", "ip_allowlist", "expires_at", "created_at",
        "tested_at", "disconnected_at", "last_error",
        key=("id",),
    )  # fmt: skip
