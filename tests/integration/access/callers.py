"""Callers of every kind with real tokens, and what docs/roles.md says of each."""

import re
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.services.machine_keys import machine_key_create
from apps.core.identity import service_token
from apps.core.identity.assurance import Assurance
from apps.core.identity.principal import Role
from tests.factories.accounts import UserServiceClient, make_user

PAGE = Path(__file__).resolve().parents[3] / "docs" / "roles.md"
ROW = re.compile(r"^\| (\w+) \| `([A-Z]+) (\S+)` \| ([^|]+) \| (\w*) \| (404)? ?\|$", flags=re.MULTILINE)

ROLES = tuple(role.value for role in Role if role is not Role.SERVICE)
# `no role` is an account without any; no account can have the role of a service.
CALLERS = ("no token", "no role", *ROLES, "service")


class Row(NamedTuple):
    """A row of the table: who may make the call, which machine keys, whether another user's object is not found."""

    who: str
    machine_key: str
    is_owned: bool

    def expected_of(self, caller: str) -> str:
        """`allowed`, `401` or `403`."""
        if self.who in ("anyone", "API key and signature"):
            return "allowed"
        if self.who == "service" or caller in ("no token", "service"):
            return "allowed" if self.who == caller else "401"
        return "allowed" if self.who == "every user" or caller in self.who.split(", ") else "403"


def table() -> dict[tuple[str, str, str], Row]:
    """The rows of the page by service, method and path; `every` stands for all services."""
    rows = {
        (row[0], row[1], row[2]): Row(row[3].strip(), row[4], bool(row[5])) for row in ROW.findall(PAGE.read_text())
    }
    assert len(rows) > 60, "the page has no table that this test can read"
    return rows


def client_of(caller: str, *, service: str, user_id: UUID | None = None) -> APIClient:
    """A client with the token of that caller, from an address of its own. `user_id` makes it that user."""
    if caller == "no token":
        return UserServiceClient()
    if caller == "service":
        client = UserServiceClient()
        client.bear(service_token.mint(audience=service))
        return client
    fields: dict[str, Any] = {"id": user_id} if user_id else {}
    user = make_user(roles=[caller] if caller in ROLES else [], **fields)
    return UserServiceClient(user)


def script_of(scope: str) -> APIClient:
    """A script with a machine key of a new user, for this scope."""
    user, now = make_user(email_verified_at=timezone.now()), timezone.now()
    assurance = Assurance(has_verified_email=True, has_mfa=True, stepped_up_at=now)
    options: dict[str, Any] = {"name": "script", "networks": (), "expires_at": None, "assurance": assurance}
    client = UserServiceClient()
    client.bear(machine_key_create(user_id=user.id, scopes=(scope,), now=now, **options).key)
    return client


def outcome_of(response: Any) -> str:
    """`401` and `403` only where they are about the token and the role; everything else was let through."""
    code = code_of(response)
    if response.status_code == 401 and code in ("not_authenticated", "invalid_token"):
        return "401"
    return "403" if code == "forbidden" else "allowed"


def code_of(response: Any) -> str:
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def filled_in(path: str, **values: object) -> str:
    """The path with a value for each parameter: the given one, or one of its kind that names nothing."""
    known = {"step": "profile", "method": "Time", "service": "staff", **values}
    return re.sub(r"\{(\w+)\}", lambda found: str(known.get(found[1], uuid4())), path)
