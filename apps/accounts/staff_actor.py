"""The actor of what is done on the staff site: the staff member who is logged in."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from apps.core.identity.actor import Actor, ActorKind, identify_actor

# A name of its own for the session in events: Django's session key is a secret.
SESSION_ID = "session_id"


class StaffActorMiddleware:
    """Behind Django's AuthenticationMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identify_actor(lambda: staff_actor(request))
        return self._get_response(request)


def staff_actor(request: HttpRequest) -> Actor:
    user: Any = request.user
    if not user.is_authenticated:
        return Actor(ActorKind.ANONYMOUS)
    return Actor(ActorKind.STAFF, str(user.id), session_id=session_id_of(request))


def session_id_of(request: HttpRequest) -> UUID | None:
    """The name in events of the staff session, given at its beginning (apps.accounts.staff_sessions)."""
    session_id = request.session.get(SESSION_ID)
    return UUID(session_id) if session_id else None
