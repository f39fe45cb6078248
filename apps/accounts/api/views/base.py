from typing import Any
from uuid import UUID

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.authentication import LiveSessionAuthentication
from apps.core.api.views import ApiView

NO_STORE = {"Cache-Control": "no-store"}


class OpenView(ApiView):
    """For callers who have no token, or an old one: none is looked at."""

    authentication_classes = ()
    permission_classes = ()


class AccountView(ApiView):
    """For a caller whose session lives."""

    authentication_classes = (LiveSessionAuthentication,)


def session_of(request: Request) -> dict[str, UUID]:
    """The session of the access token, in a view that asks for none. Raises DRF's NotAuthenticated or InvalidToken."""
    found: Any = LiveSessionAuthentication().authenticate(request)
    if found is None:
        raise NotAuthenticated
    return {"session_id": found[0].session_id, "user_id": found[0].user_id}


def tokens_response(data: Any, *, status: int = 200) -> Response:
    """For an answer with a secret in it: no cache may keep it (RFC 6749, 5.1)."""
    return Response(data, status=status, headers=NO_STORE)
