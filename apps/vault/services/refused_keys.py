"""Keys that the exchange refused: the first answer suspends the key in every process, and its owner is told once."""

from datetime import datetime
from functools import partial

from django.utils import timezone

from apps.core.errors import PlatformError
from apps.exchange.factory import exchange_for
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.nonce import key_is_suspended
from apps.exchange.port import Exchange
from apps.messages.kraken import KrakenKeyTestFailed
from apps.vault.models import Credential
from apps.vault.selectors import OpenCredential
from apps.vault.services.key_info import failure_announce
from apps.vault.services.verify import credential_set_suspended


def exchange_of_credential(
    credential: OpenCredential, *, policy: CallPolicy | None = None, caller: str = ""
) -> Exchange:
    """The account of an opened key. Where the exchange refuses the key, `kraken.key.test.failed` is published.

    `caller`: see `exchange_for`.
    """
    return exchange_for(credential, policy=policy, on_refused_key=partial(_announce, credential), caller=caller)


def credential_note_refusal(message: KrakenKeyTestFailed, *, now: datetime) -> None:
    """Writes a refusal that another process met with into the key's row, in the caller's transaction.

    Does nothing where the key was rotated, disconnected or passed a test since.
    """
    if message.credential_id is None:
        return
    rows = Credential.objects.select_for_update().filter(state=Credential.State.ACTIVE)
    row = rows.filter(id=message.credential_id, user_id=message.user_id).first()
    if row is not None and key_is_suspended(row.key_digest, now=now):
        credential_set_suspended(row, message=message.message, now=message.failed_at)


def _announce(credential: OpenCredential, error: PlatformError) -> None:
    failure_announce(
        error, user_id=credential.user_id, credential_id=credential.id, mode=credential.mode, now=timezone.now()
    )
