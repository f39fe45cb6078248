"""What the API hands to the stream process: who opens a stream, from where on, and whether its caller may go on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from apps.core.identity.machine_keys import machine_key_still_valid
from apps.core.identity.principal import MachineKeyPrincipal, Principal
from apps.core.identity.revocations import RevocationsUnknown, session_is_revoked

MEDIA_TYPE = "text/event-stream"
# Of a stream of a machine key, which has no token that ends.
LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Opening:
    """Who opened a stream, and from where on it is to tell. It ends at `ends_at`, in seconds since the epoch.

    `may_go_on` is called in a thread, and may read.
    """

    user_id: UUID
    ends_at: float
    last_id: int | None
    may_go_on: Callable[[], bool]


def still_allowed(caller: Principal) -> Callable[[], bool]:
    """A function that says so. Where ended sessions have not been readable for 45 s, nobody may go on."""
    if isinstance(caller, MachineKeyPrincipal):
        key_id, address = caller.key_id, caller.address
        return lambda: machine_key_still_valid(key_id, address=address)
    session_id = caller.session_id

    def session_lasts() -> bool:
        try:
            return session_id is None or not session_is_revoked(session_id)
        except RevocationsUnknown:
            return False

    return session_lasts
