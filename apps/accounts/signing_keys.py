"""The private key that signs user tokens. Rotation: apps.accounts.services.signing_keys."""

import threading
import time
from datetime import timedelta

from django.conf import settings

from apps.accounts.models import SigningKey
from apps.core.crypto import EncryptedSecret, decrypt, encrypt, vault_key
from apps.core.models import VerificationKey

# How long others may keep the answer of /.well-known/jwks.json.
JWKS_MAX_AGE = timedelta(minutes=5)
# A process looks this often which key signs now.
REREAD_AFTER = timedelta(seconds=10)

_lock = threading.Lock()
_current: tuple[float, str] | None = None


def signing_pem() -> str:
    """The private key that signs now, as PEM. Until the first rotation that is the environment's."""
    global _current  # noqa: PLW0603
    given: str = settings.SIMPLE_JWT["SIGNING_KEY"]
    known = _current
    if known is not None and time.monotonic() - known[0] < REREAD_AFTER.total_seconds():
        return known[1] or given
    with _lock:
        _current = (time.monotonic(), _of_database())
        return _current[1] or given


def forget() -> None:
    """Lets this process look again which key signs: after it has changed that."""
    global _current  # noqa: PLW0603
    _current = None


def encrypted(kid: str, private_pem: str) -> EncryptedSecret:
    return encrypt(private_pem.encode(), key=_vault_key(), owner=kid.encode())


def _of_database() -> str:
    """Empty where the environment's key signs. One statement: a rotation in between is seen whole or not at all."""
    signing = VerificationKey.objects.filter(state=VerificationKey.State.SIGNING).values("kid")
    row = SigningKey.objects.filter(kid__in=signing).first()
    if row is None:
        return ""
    secret = EncryptedSecret(bytes(row.nonce), bytes(row.ciphertext), bytes(row.wrapped_key))
    return decrypt(secret, key=_vault_key(), owner=row.kid.encode()).decode()


def _vault_key() -> bytes:
    return vault_key(settings.ENVIRONMENT.secret("signing_vault_key", needed_for="the signing keys in the database"))
