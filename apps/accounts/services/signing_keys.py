"""Rotation of the key that signs user tokens, in steps that a process may repeat or die between.

A new key is published first and signs only when every verifier has had the time to read it. The key before it verifies
for as long as a token that it signed may live. At most one key is upcoming and one is signing: a constraint says so.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.db import connection, transaction

from apps.accounts import signing_keys
from apps.accounts.models import SigningKey
from apps.core.errors import Conflict, NotFound
from apps.core.identity import verification_keys
from apps.core.identity.jwk import key_id, pem_of, public_key_of
from apps.core.models import VerificationKey

State = VerificationKey.State

# From publication until the key signs: every service has read the table again, and every copy of the JWKS has aged.
PUBLISHED_FOR = timedelta(minutes=10)
# Processes may sign with the key before for as long as they have not looked again, and clocks differ.
_MARGIN = timedelta(minutes=1)
_LOCK = 7_262_041


class KeyHasEnded(Conflict):
    """The key verifies nothing any more."""

    code = "key_has_ended"


@dataclass(frozen=True)
class Step:
    """What a call of `signing_key_rotate` did, in a sentence. `next_at` (UTC): when the next step may be taken."""

    did: str
    next_at: datetime | None = None


@transaction.atomic
def signing_key_rotate(*, now: datetime, again: bool = False) -> Step:
    """Takes the next step of a rotation, if it is due.

    A new rotation begins only when the last one is over, that is when no key of it retires any more; `again` begins one
    before that.
    """
    _lock()
    _adopt_environment_key(now)
    upcoming = VerificationKey.objects.filter(state=State.UPCOMING).first()
    if upcoming is None:
        retiring = VerificationKey.objects.filter(state=State.RETIRING, ends_at__gt=now).order_by("-ends_at").first()
        if retiring is not None and not again:
            return Step(f"The key {retiring.kid} still verifies; nothing to do until it has ended.", retiring.ends_at)
        kid = _publish_new_key(now)
        return Step(f"The key {kid} is published and will sign next.", now + PUBLISHED_FOR)
    due = upcoming.published_at + PUBLISHED_FOR
    if now < due:
        return Step(f"The key {upcoming.kid} is published; verifiers are given time to read it.", due)
    ends_at = _sign_with(upcoming, now)
    return Step(
        f"The key {upcoming.kid} signs now; the one before it verifies until its last token has expired.", ends_at
    )


@transaction.atomic
def signing_key_end(*, kid: str, now: datetime) -> Step:
    """Ends a compromised key at once: what it signed is refused. If it was the signing key, another one signs.

    Users whose tokens it signed have to log in again. Raises NotFound, KeyHasEnded.
    """
    _lock()
    _adopt_environment_key(now)
    key = VerificationKey.objects.filter(kid=kid).first()
    if key is None:
        raise NotFound(f"No key has the id {kid}.")
    if key.ends_at is not None and key.ends_at <= now:
        raise KeyHasEnded(f"The key {kid} has ended already.")
    was_signing = key.state == State.SIGNING
    VerificationKey.objects.filter(kid=kid).update(state=State.RETIRING, ends_at=now)
    SigningKey.objects.filter(kid=kid).delete()
    if was_signing:
        upcoming = VerificationKey.objects.filter(state=State.UPCOMING).values_list("kid", flat=True).first()
        VerificationKey.objects.filter(kid=upcoming or _publish_new_key(now)).update(
            state=State.SIGNING, signs_from=now
        )
    _forget()
    return Step(f"The key {kid} has ended. Services refuse its tokens within {_seconds()} s.")


def signing_key_list() -> list[VerificationKey]:
    return list(VerificationKey.objects.order_by("published_at", "kid"))


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _adopt_environment_key(now: datetime) -> None:
    """The key that signed before the first rotation gets its row: the table alone decides from then on."""
    if VerificationKey.objects.exists():
        return
    key = public_key_of(settings.SIMPLE_JWT["SIGNING_KEY"])
    VerificationKey.objects.create(
        kid=key_id(key), public_pem=pem_of(key), state=State.SIGNING, published_at=now, signs_from=now
    )


def _publish_new_key(now: datetime) -> str:
    private_key = generate_private_key(SECP256R1())
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    kid = key_id(private_key.public_key())
    secret = signing_keys.encrypted(kid, pem)
    VerificationKey.objects.create(
        kid=kid, public_pem=pem_of(private_key.public_key()), state=State.UPCOMING, published_at=now
    )
    SigningKey.objects.create(
        kid=kid,
        nonce=secret.nonce,
        ciphertext=secret.ciphertext,
        wrapped_key=secret.wrapped_key,
        created_at=now,
    )
    _forget()
    return kid


def _sign_with(upcoming: VerificationKey, now: datetime) -> datetime:
    options = settings.SIMPLE_JWT
    longest = max(options["ACCESS_TOKEN_LIFETIME"], options["REFRESH_TOKEN_LIFETIME"])
    ends_at: datetime = now + longest + _MARGIN
    signing = VerificationKey.objects.filter(state=State.SIGNING)
    SigningKey.objects.filter(kid__in=signing.values("kid")).delete()
    signing.update(state=State.RETIRING, ends_at=ends_at)
    VerificationKey.objects.filter(kid=upcoming.kid).update(state=State.SIGNING, signs_from=now)
    _forget()
    return ends_at


def _forget() -> None:
    def forget() -> None:
        verification_keys.forget()
        signing_keys.forget()

    transaction.on_commit(forget)


def _seconds() -> int:
    return int(verification_keys.REREAD_AFTER.total_seconds())
