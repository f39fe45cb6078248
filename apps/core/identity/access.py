"""Who may make a call: one rule for each view and method, which docs/roles.md lists and tests compare with the answers.

A view without a rule refuses every caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.core.identity.principal import Principal, Role

View = TypeVar("View")


class Token(StrEnum):
    """What a caller identifies itself with."""

    NONE = "none"
    USER = "user"
    SERVICE = "service"
    SIGNATURE = "signature"


@dataclass(frozen=True)
class Access:
    """A rule. `roles` are those of which a user needs one; empty: a user needs none."""

    title: str
    token: Token
    roles: frozenset[Role] = frozenset()

    def allows(self, roles: frozenset[Role]) -> bool:
        return self.token is Token.USER and (not self.roles or not self.roles.isdisjoint(roles))


def _roles(*roles: Role) -> Access:
    return Access(", ".join(roles), Token.USER, frozenset(roles))


ANYONE = Access("anyone", Token.NONE)
USERS = Access("every user", Token.USER)
TRADERS = _roles(Role.TRADER, Role.ADMIN)
USER_STAFF = _roles(Role.SUPPORT, Role.ADMIN)
# Who may log in to the staff site.
STAFF = _roles(Role.SUPPORT, Role.AUDITOR, Role.OPERATOR, Role.ADMIN)
SERVICES = Access("service", Token.SERVICE)
# Of the paper exchange, as at Kraken: an API key and a signature by its secret.
SIGNED = Access("API key and signature", Token.SIGNATURE)

Rule = Access | Mapping[str, Access]


def access_of(view: Any, method: str) -> Access | None:
    """The rule of a view for a method (HEAD is GET's); None where it has none."""
    rule: Rule | None = getattr(view, "access", None)
    if isinstance(rule, Mapping):
        return rule.get("GET" if method.upper() == "HEAD" else method.upper())
    return rule


def with_access(rule: Access) -> Callable[[View], View]:
    """Gives a view that is a function its rule; it enforces it itself."""

    def give(view: View) -> View:
        view.access = rule  # type: ignore[attr-defined]
        return view

    return give


class ByAccess(BasePermission):
    """The permission of every view: its rule, and nothing else."""

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        rule = access_of(view, str(request.method))
        if rule is None:
            return False
        caller: Any = request.user
        if rule.token is Token.USER:
            self.message = f"This needs the role {' or '.join(sorted(rule.roles))}." if rule.roles else self.message
            return isinstance(caller, Principal) and rule.allows(caller.roles)
        if rule.token is Token.SERVICE:
            return not isinstance(caller, Principal) and Role.SERVICE in getattr(caller, "roles", ())
        return rule.token is Token.NONE
