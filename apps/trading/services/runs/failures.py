"""What a failure means for a run. Only a proved fault of its key ends it; after any other one it pauses and retries."""

from datetime import timedelta

from apps.core.errors import PlatformError
from apps.exchange.errors import KeyInvalid, KeyLacksPermission, KeySuspended
from apps.trading.errors import WrongMode
from apps.trading.services.context.dependencies import Dependencies
from apps.vault.errors import KeyNotConnected
from apps.vault.permissions import missing_permissions

# No later call with this key can succeed.
PROVED_KEY_FAULTS = (KeyInvalid, KeySuspended, KeyNotConnected, WrongMode)

SHORTEST_PAUSE = timedelta(seconds=5)
# Of a failure that passes by itself, and of one that a person may have to look at.
LONGEST_PAUSE = timedelta(seconds=60)
LONGEST_PAUSE_UNCLASSIFIED = timedelta(seconds=300)


def ends_run(error: PlatformError, *, deps: Dependencies | None) -> bool:
    """Whether the error proves that the run cannot go on with its key. May ask the exchange for the key's rights."""
    if isinstance(error, KeyLacksPermission):
        return deps is not None and lacks_permission(deps)
    return isinstance(error, PROVED_KEY_FAULTS)


def lacks_permission(deps: Dependencies) -> bool:
    """Whether the key provably lacks a right that bots need.

    The exchange refuses in the same words what the key may do and the account may not, such as a product that is not
    offered in the owner's country. That concerns one bot, and is no fault of the key. A key that lacks rights is
    suspended.
    """
    try:
        permissions = deps.exchange.key_info().permissions
    except KeyInvalid:
        return True
    except PlatformError:
        return False
    missing = missing_permissions(permissions) if permissions is not None else []
    if missing:
        names = ", ".join(missing)
        deps.exchange.suspend_key(KeyLacksPermission(f"The key lacks rights that bots need: {names}.", rights=missing))
    return bool(missing)


def pause_after(error: PlatformError, *, lasted: timedelta) -> timedelta:
    """How long the run pauses. It grows with the time that the failure has `lasted`, so the pauses double."""
    longest = LONGEST_PAUSE if error.retryable else LONGEST_PAUSE_UNCLASSIFIED
    asked = timedelta(seconds=error.details.get("retry_after_seconds") or 0)
    return max(asked, min(longest, max(SHORTEST_PAUSE, lasted)))
