"""Reads over accounts."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.accounts.models import User, UserSession
from apps.core.errors import NotFound


def user_get(*, user_id: UUID) -> User:
    """Raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound("There is no such account.")
    return user


def user_list(*, email: str = "", role: str = "", is_active: bool | None = None) -> QuerySet[User]:
    """Accounts for staff; `email` is any part of an address."""
    users = User.objects.all()
    if email:
        users = users.filter(email__contains=email.lower())
    if role:
        users = users.filter(roles__contains=[role])
    if is_active is not None:
        users = users.filter(is_active=is_active)
    return users


def session_list(*, user_id: UUID, now: datetime) -> QuerySet[UserSession]:
    """A user's live sessions, newest first."""
    return UserSession.objects.filter(user_id=user_id, revoked_at=None, expires_at__gt=now).order_by("-created_at")


def session_is_live(*, session_id: UUID, user_id: UUID, now: datetime) -> bool:
    return UserSession.objects.filter(
        pk=session_id, user_id=user_id, user__is_active=True, revoked_at=None, expires_at__gt=now
    ).exists()
