from typing import Any, ClassVar
from uuid import UUID

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import InvalidToken

from apps.accounts.api.authentication import LiveSessionAuthentication
from apps.accounts.api.throttles import live_session_of
from apps.core.api.machine_key_access import MachineKeyAccess, refuse_call
from apps.core.api.views import ApiView
from apps.core.identity.access import ANYONE, USERS, Rule
from apps.core.identity.actor import identify_actor
from apps.core.identity.principal import principal_of
from apps.core.quotas import Scope

NO_STORE = {"Cache-Control": "no-store"}


class OpenView(ApiView):
    """For callers who have no token, or an old one: none is looked at."""

    authentication_classes = ()
    access = ANYONE


class AccountView(ApiView):
    """For a caller whose session lives."""

    authentication_classes = (LiveSessionAuthentication,)
    changes = Scope.ACCOUNT
    access: ClassVar[Rule | None] = USERS


class LogInView(AccountView):
    """For what belongs to a log-in and its sessions: no machine key, not even for reading."""

    machine_keys = MachineKeyAccess.REFUSED


def session_of(request: Request) -> dict[str, UUID]:
    """The session of the access token, in a view that asks for none. Raises DRF's NotAuthenticated or InvalidToken."""
    found: Any = LiveSessionAuthentication().authenticate(request)
    if found is None:
        raise NotAuthenticated
    identify_actor(found[0].actor)
    refuse_call(found[0], method=str(request.method), access=MachineKeyAccess.REFUSED)
    return {"session_id": found[0].session_id, "user_id": found[0].user_id}


def caller_or_nobody(request: Request) -> UUID | None:
    """The user of the access token, in a view that asks for none. None without a token, or with an old one."""
    try:
        return session_of(request)["user_id"]
    except (NotAuthenticated, InvalidToken):
        return None


def caller_of(request: Request) -> dict[str, Any]:
    """The caller and the session, as services take them, in an AccountView."""
    return {"user_id": principal_of(request).user_id, "session_id": live_session_of(request)}


def tokens_response(data: Any, *, status: int = 200) -> Response:
    """For an answer with a secret in it: no cache may keep it (RFC 6749, 5.1)."""
    return Response(data, status=status, headers=NO_STORE)
