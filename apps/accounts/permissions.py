"""Permissions of each role on the staff site, in one table."""

from collections.abc import Iterable
from typing import Final

from apps.core.identity.principal import Role

EVERYTHING: Final = "*"

# Change permissions by role, as "app.action_model" or EVERYTHING. Every staff role can view the whole site.
MAY_CHANGE: Final[dict[Role, frozenset[str]]] = {
    Role.ADMIN: frozenset({EVERYTHING}),
    Role.SUPPORT: frozenset(
        {
            "accounts.change_user",
            "accounts.change_usersession",
            "accounts.add_mfaremoval",
            "accounts.change_securitynotice",
            "core.change_machinekey",
        }
    ),
    Role.OPERATOR: frozenset(
        {
            "accounts.change_securitynotice",
            "events.change_deadletter",
            "events.change_parkedkey",
            "events.change_outboxrow",
            "risk.add_halt",
            "risk.change_halt",
            "risk.change_liveswitch",
            "risk.change_account",
            "trading.change_ordertoresolve",
        }
    ),
    Role.AUDITOR: frozenset(),
}


def roles_allow(roles: Iterable[str], permission: str) -> bool:
    """Whether one of the roles grants a Django permission such as `accounts.change_user`."""
    action = permission.rpartition(".")[2].partition("_")[0]
    return any(action == "view" or not granted.isdisjoint({EVERYTHING, permission}) for granted in _granted(roles))


def _granted(roles: Iterable[str]) -> Iterable[frozenset[str]]:
    return (MAY_CHANGE[Role(role)] for role in roles if role in MAY_CHANGE)
