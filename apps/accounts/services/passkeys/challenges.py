"""Challenges: random, answered once, within five minutes, for the purpose and the session that asked."""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from apps.accounts.errors import PasskeyRefused
from apps.accounts.models import PasskeyChallenge
from apps.accounts.tokens import digest_of

LIFETIME = timedelta(minutes=5)
# At least 16 random bytes (WebAuthn Level 3, 13.4.3).
CHALLENGE_BYTES = 32

Purpose = PasskeyChallenge.Purpose


def challenge_issue(*, purpose: Purpose, session_id: UUID | None, now: datetime) -> bytes:
    """A new challenge. It replaces the session's earlier one of the same purpose."""
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    fields = {"digest": digest_of(challenge.hex()), "expires_at": now + LIFETIME}
    if session_id is None:
        PasskeyChallenge.objects.create(purpose=purpose, **fields)
    else:
        PasskeyChallenge.objects.update_or_create(purpose=purpose, session_id=session_id, defaults=fields)
    return challenge


def challenge_redeem(challenge: bytes, *, purpose: Purpose, session_id: UUID | None, now: datetime) -> None:
    """Consumes the challenge, in a transaction of its own: whatever the answer turns out to be, it was the only one.

    Raises PasskeyRefused for one that is unknown, answered, expired, or another purpose's or session's.
    """
    waiting = PasskeyChallenge.objects.filter(
        digest=digest_of(challenge.hex()), purpose=purpose, session_id=session_id, expires_at__gt=now
    )
    if waiting.delete()[0] != 1:
        raise PasskeyRefused()
