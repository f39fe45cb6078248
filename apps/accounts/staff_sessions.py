"""Sessions of the staff site: eight hours at most, half an hour without a request, and none without a second factor.

Their beginning and end are events. A session's name in events is an id of its own: Django's session key is a secret.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import logout, user_logged_in, user_logged_out
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.staff_actor import SESSION_ID, session_id_of, staff_actor
from apps.core.identity.actor import identify_actor
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.staff import StaffLoggedIn, StaffLoggedOut

# ASVS 4.0.3, 3.3.2 at level 2 asks for 12 hours or 30 minutes of idleness.
LONGEST = timedelta(hours=8)
IDLE = timedelta(minutes=30)
# A request later than this after the last noted one is noted: not every request writes its session.
NOTED_AFTER = timedelta(minutes=1)

_BEGAN, _SEEN, _SECOND_FACTOR = "staff_began_at", "staff_seen_at", "staff_second_factor"

SITE = "/admin/"
TWO_FACTOR = f"{SITE}two-factor/"
LOG_IN = f"{SITE}login/"
# Asked by the gateway (apps.accounts.staff_access): answered by a status, never by a redirect, and no sign of a person.
AUTHORIZE = f"{SITE}authorize/"
_WITHOUT_SECOND_FACTOR = (TWO_FACTOR, LOG_IN, f"{SITE}logout/", AUTHORIZE)


# Why a session ends, where it is not the person who logs out.
EXPIRED, SECOND_FACTOR_ELSEWHERE = "expired", "second_factor_set_up_elsewhere"
_ENDS_BECAUSE = "_staff_session_ends_because"


@receiver(user_logged_in)
def _begin(request: HttpRequest, user: User, **_: Any) -> None:
    now = timezone.now()
    session_id, has_second_factor = new_id(), getattr(user, "used_second_factor", False)
    request.session.update(
        {
            SESSION_ID: str(session_id),
            _BEGAN: now.isoformat(),
            _SEEN: now.isoformat(),
            _SECOND_FACTOR: has_second_factor,
        }
    )
    # Nobody was logged in to this request before.
    identify_actor(lambda: staff_actor(request))
    with transaction.atomic():
        request.session.save()
        publish(StaffLoggedIn(user_id=user.id, session_id=session_id, has_second_factor=has_second_factor), now=now)


@receiver(user_logged_out)
def _end(request: HttpRequest, user: User | None, **_: Any) -> None:
    """Django calls it before it empties the session."""
    session_id = session_id_of(request)
    if user is None or session_id is None:
        return
    reason = getattr(request, _ENDS_BECAUSE, "logged_out")
    with transaction.atomic():
        publish(StaffLoggedOut(user_id=user.id, session_id=session_id, reason=reason), now=timezone.now())
        request.session.flush()


def end(request: HttpRequest, because: str) -> None:
    """Ends the caller's session for a reason of the site's."""
    setattr(request, _ENDS_BECAUSE, because)
    logout(request)


def note_second_factor(request: HttpRequest) -> None:
    """The caller has just proved to hold the authenticator."""
    request.session[_SECOND_FACTOR] = True


def is_complete(request: HttpRequest) -> bool:
    """Whether the caller is logged in to the staff site with all that it asks for."""
    user: Any = request.user
    return user.is_authenticated and user.is_staff and not needs_second_factor(request)


def needs_second_factor(request: HttpRequest) -> bool:
    return settings.STAFF_MFA_REQUIRED and not request.session.get(_SECOND_FACTOR, False)


class StaffSessionMiddleware:
    """Ends sessions that are too old, and leads staff without a second factor to where they set one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(SITE) and request.user.is_authenticated:
            now = timezone.now()
            if _has_ended(request, now):
                end(request, EXPIRED)
            elif needs_second_factor(request) and not request.path.startswith(_WITHOUT_SECOND_FACTOR):
                return redirect(TWO_FACTOR)
            elif not request.path.startswith(AUTHORIZE):
                _note(request, now)
        return self._get_response(request)


def _has_ended(request: HttpRequest, now: datetime) -> bool:
    began, seen = _time(request, _BEGAN), _time(request, _SEEN)
    return began is None or seen is None or now - began >= LONGEST or now - seen >= IDLE


def _note(request: HttpRequest, now: datetime) -> None:
    seen = _time(request, _SEEN)
    if seen is None or now - seen >= NOTED_AFTER:
        request.session[_SEEN] = now.isoformat()


def _time(request: HttpRequest, key: str) -> datetime | None:
    text = request.session.get(key)
    return datetime.fromisoformat(text) if text else None
