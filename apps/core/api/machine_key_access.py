"""What a machine key may call: each view says it in `machine_keys`, and nothing is allowed that no view says."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from rest_framework.permissions import SAFE_METHODS

from apps.core.errors import Forbidden
from apps.core.identity.machine_keys import scopes_text
from apps.core.identity.principal import MachineKeyPrincipal
from apps.core.models import KeyScope
from apps.core.terms import Mode

_SCOPE_OF_MODE = {Mode.PAPER: KeyScope.TRADE_PAPER, Mode.LIVE: KeyScope.TRADE_LIVE}


class MachineKeyAccess(StrEnum):
    """`refused`: no machine key. `read`: any machine key, for GET alone; every other view has this. `trade`: besides,
    keys with the scope of each mode that the request concerns, for all methods."""

    REFUSED = "refused"
    READ = "read"
    TRADE = "trade"


class MachineKeyNotAllowed(Forbidden):
    """No machine key may make the call. `details.use` names what to call first, for a token that may."""

    code = "machine_key_not_allowed"

    def __init__(self) -> None:
        super().__init__(
            "A machine key may not do this. Log in and send the access token of the answer.",
            use="POST /api/v1/auth/login",
        )


class ScopeMissing(Forbidden):
    """The machine key lacks the scope that `details.scope` names."""

    code = "scope_missing"

    def __init__(self, scope: KeyScope, scopes: Collection[KeyScope]) -> None:
        super().__init__(
            f"This machine key lacks the scope {scope.value}. Make a key that has it: POST /api/v1/auth/api-keys.",
            scope=scope.value,
            scopes=scopes_text(scopes),
        )


def refuse_call(caller: Any, *, method: str, access: MachineKeyAccess) -> None:
    """For machine keys alone. Raises MachineKeyNotAllowed."""
    if not isinstance(caller, MachineKeyPrincipal):
        return
    if access is MachineKeyAccess.REFUSED or (access is MachineKeyAccess.READ and method not in SAFE_METHODS):
        raise MachineKeyNotAllowed()


def refuse_missing_scopes(caller: MachineKeyPrincipal, modes: Collection[Mode]) -> None:
    """Raises ScopeMissing for the first mode that the key does not have the scope of."""
    for mode in sorted(modes, reverse=True):
        scope = _SCOPE_OF_MODE[mode]
        if scope not in caller.scopes:
            raise ScopeMissing(scope, caller.scopes)
