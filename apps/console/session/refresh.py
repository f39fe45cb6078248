"""The exchange of a session's tokens: one at a time, however many pages ask at once.

Pages of one process wait for each other and share the answer. Between processes, and after an answer that was lost, the
API gives the same next token again: the exchange of one refresh token always has the same Idempotency-Key
(docs/accounts.md, Tokens).
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.console.session.login import LogIn

_SHARED_SECONDS = 60.0


@dataclass
class _Exchange:
    lock: threading.Lock = field(default_factory=threading.Lock)
    began_at: float = field(default_factory=time.monotonic)
    pair: tuple[str, str] | None = None


_exchanges: dict[str, _Exchange] = {}
_guard = threading.Lock()


def exchange_key(refresh: str) -> str:
    """The Idempotency-Key of this token's exchange, which tells nothing of the token."""
    return hashlib.sha256(f"console exchange {refresh}".encode()).hexdigest()


def refresh(log_in: LogIn, exchange: Callable[[str, str], tuple[str, str]]) -> None:
    """Gives the log-in its next tokens. `exchange(refresh token, Idempotency-Key)` answers access and refresh token.

    Raises what `exchange` raises.
    """
    key = exchange_key(log_in.refresh)
    shared = _shared(key)
    with shared.lock:
        if shared.pair is None:
            shared.pair = exchange(log_in.refresh, key)
    log_in.take_tokens(access=shared.pair[0], refresh=shared.pair[1])


def _shared(key: str) -> _Exchange:
    now = time.monotonic()
    with _guard:
        for old in [each for each, found in _exchanges.items() if now - found.began_at > _SHARED_SECONDS]:
            del _exchanges[old]
        return _exchanges.setdefault(key, _Exchange())
