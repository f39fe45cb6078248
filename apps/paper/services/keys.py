"""API keys: nonces, and the lockout after failed authentication."""

from datetime import datetime, timedelta

from django.db import transaction

from apps.paper.errors import InvalidNonce
from apps.paper.models import ApiKey, KeyFailure
from apps.paper.signature import key_digest

LARGEST_NONCE = 2**64 - 1
FAILURES = 8
FAILURE_WINDOW = timedelta(minutes=10)
LOCKOUT = timedelta(minutes=15)  # as reported of Kraken's "Temporary lockout"
KEPT = timedelta(days=1)


def nonce_use(*, key: str, nonce: str, now: datetime) -> None:
    """Consumes a nonce: an unsigned 64-bit number above the key's last one. It stays consumed if the call then fails.

    Raises InvalidNonce.
    """
    if not (nonce.isascii() and nonce.isdigit() and len(nonce) <= 20 and int(nonce) <= LARGEST_NONCE):
        raise InvalidNonce
    if not ApiKey.objects.filter(key=key, nonce__lt=int(nonce)).update(nonce=int(nonce), last_used_at=now):
        raise InvalidNonce


@transaction.atomic
def key_failure_record(*, key: str, now: datetime) -> None:
    """Counts a call with an unknown key or a wrong signature. The eighth within ten minutes locks the key out."""
    KeyFailure.objects.filter(window_began_at__lt=now - KEPT).delete()
    failure, _ = KeyFailure.objects.select_for_update().get_or_create(
        key_digest=key_digest(key), defaults={"failures": 0, "window_began_at": now}
    )
    if failure.window_began_at < now - FAILURE_WINDOW:
        failure.failures, failure.window_began_at = 0, now
    failure.failures += 1
    if failure.failures >= FAILURES:
        failure.failures, failure.locked_until = 0, now + LOCKOUT
    failure.save()
