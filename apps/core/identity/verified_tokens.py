"""Access tokens that this process has verified: the signature of each is computed once in a while, not per call."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from apps.core.memory import Memory

T = TypeVar("T")

# A key that is withdrawn is noticed within this time, and the time until the keys are read again.
_KEPT_SECONDS = 30.0
_ENTRIES = 10_000


class VerifiedTokens:
    """Remembers what a token was verified as, by the token's digest.

    It says nothing of expiry and revocation, which the caller checks at every request.
    """

    def __init__(self) -> None:
        self._memory: Memory[bytes] = Memory(_ENTRIES)

    def get(self, token: bytes, verify: Callable[[], T]) -> T:
        """What `verify` returned for this token within _KEPT_SECONDS. What it raises is not remembered."""
        return self._memory.remembered(hashlib.sha256(token).digest(), verify, seconds=_KEPT_SECONDS)

    def clear(self) -> None:
        self._memory.clear()


verified_tokens = VerifiedTokens()
