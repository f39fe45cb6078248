"""Every call of every service with the rule that says who may make it: the table in docs/roles.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.permissions import EVERYTHING, MAY_CHANGE
from apps.core.api.machine_key_access import MachineKeyAccess
from apps.core.identity.access import ANYONE, USER_STAFF, Access, Token, access_of
from apps.core.identity.principal import Role
from apps.core.markdown import markdown_table

URLS = {
    "user": "user_service.urls",
    "kraken": "kraken_service.urls",
    "bot": "bot_service.urls",
    "staff": "staff_site.urls",
    "paper": "paper_exchange.urls",
}
NO_RULE = "NO RULE"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Django's own site: its permissions are those of MAY_CHANGE.
_STAFF_SITE = "/admin/"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Call:
    """`path` has its parameters as {name}. `access` is None for a view without a rule."""

    service: str
    method: str
    path: str
    access: Access | None
    machine_keys: MachineKeyAccess = MachineKeyAccess.REFUSED

    @property
    def is_owned(self) -> bool:
        """Whether the path names a thing that belongs to one user, which another user does not find."""
        of_users = self.access is not None and self.access.token is Token.USER and self.access != USER_STAFF
        return "_id}" in self.path and of_users

    @property
    def machine_key(self) -> str:
        """Which machine keys may make the call: `any`, `trade` (of the mode that it concerns), `no`; else empty."""
        roles = self.access.roles if self.access and self.access.token is Token.USER else None
        if roles is None:
            return ""
        if self.machine_keys is MachineKeyAccess.REFUSED or (roles and Role.TRADER not in roles):
            return "no"
        if self.method == "GET":
            return "any"
        return "trade" if self.machine_keys is MachineKeyAccess.TRADE else "no"

    def as_row(self, service: str) -> tuple[str, ...]:
        """The call's row in the table."""
        # Each service has its document and its page below its own name as well.
        path = self.path.replace(f"/{settings.SERVICE}/", "/{service}/")
        who = self.access.title if self.access else NO_RULE
        anothers = "404" if self.is_owned else ""
        return (service, f"`{self.method} {path}`", who, self.machine_key, anothers)


def calls_of(service: str) -> list[Call]:
    """Every call of the service, by its URLs and not by its OpenAPI document; without the pages of Django's site."""
    found = {}
    for path, view in views_of(service):
        if path.startswith(_STAFF_SITE):
            continue
        for method in METHODS:
            if _takes(view, method):
                keys = getattr(view, "machine_keys", MachineKeyAccess.REFUSED)
                found[path, method] = Call(service, method, path, _rule_of(view, method), keys)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], METHODS.index(key[1])))]


def as_markdown() -> str:
    """The table of calls. A call without a rule says so, and no caller may make it."""
    calls = {service: calls_of(service) for service in URLS}
    common = set.intersection(*({(call.method, call.path) for call in each} for each in calls.values()))
    rows = [call.as_row("every") for call in calls["staff"] if (call.method, call.path) in common]
    for service in URLS:
        rows += [call.as_row(service) for call in calls[service] if (call.method, call.path) not in common]
    return markdown_table(("service", "call", "who", "machine key", "another user's"), rows)


def staff_site_as_markdown() -> str:
    """The table of what each staff role may change on the staff site."""
    rows = []
    for role, granted in MAY_CHANGE.items():
        named = "everything" if EVERYTHING in granted else ", ".join(f"`{each}`" for each in sorted(granted))
        rows.append((str(role), "every page", named or "nothing"))
    return markdown_table(("role", "sees", "changes"), rows)


def views_of(service: str) -> Iterator[tuple[str, Any]]:
    """Path and view, a class or a function, of every URL of the service."""
    return _patterns(get_resolver(URLS[service]), "/")


def _patterns(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for each in resolver.url_patterns:
        path = prefix + _PARAMETER.sub(r"{\1}", str(each.pattern))
        if isinstance(each, URLResolver):
            yield from _patterns(each, path)
        elif isinstance(each, URLPattern):
            callback: Any = each.callback
            yield path, getattr(callback, "view_class", None) or getattr(callback, "cls", None) or callback


def _takes(view: Any, method: str) -> bool:
    if isinstance(view, type):
        return hasattr(view, method.lower())
    return method == "POST" or (method == "GET" and access_of(view, method) == ANYONE)


def _rule_of(view: Any, method: str) -> Access | None:
    if view.__module__.startswith("drf_spectacular"):  # the document and its page
        return ANYONE
    return access_of(view, method)
