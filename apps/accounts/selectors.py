"""Reads over accounts."""

from datetime import datetime
from uuid import UUID

from django.db.models import F, FilteredRelation, Q, QuerySet

from apps.accounts.models import EmailChange, Passkey, User, UserSession
from apps.core.errors import NotFound


def user_get(*, user_id: UUID) -> User:
    """Raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound("There is no such account.")
    return user


def own_account(*, user_id: UUID, session_id: UUID | None, now: datetime) -> User | None:
    """The caller's account, in one statement with the change of address that waits, as `new_email`, `requested_at` and
    `confirm_expires_at` (None without one). None if the account is disabled, or the session has ended; a machine key
    has no session.
    """
    waits = Q(email_changes__state=EmailChange.State.PENDING, email_changes__confirm_expires_at__gt=now)
    account = User.objects.filter(pk=user_id, is_active=True)
    if session_id is not None:
        account = account.filter(sessions__pk=session_id, sessions__revoked_at=None, sessions__expires_at__gt=now)
    return (
        account.alias(waiting=FilteredRelation("email_changes", condition=waits))
        .annotate(**{name: F(f"waiting__{name}") for name in ("new_email", "requested_at", "confirm_expires_at")})
        .first()
    )


def user_list(*, email: str | None = None, role: str | None = None, is_active: bool | None = None) -> QuerySet[User]:
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


def passkey_list(*, user_id: UUID) -> QuerySet[Passkey]:
    return Passkey.objects.filter(user_id=user_id).order_by("-created_at")


def passkey_get(*, user_id: UUID, passkey_id: UUID) -> Passkey:
    """Raises NotFound."""
    passkey = passkey_list(user_id=user_id).filter(pk=passkey_id).first()
    if passkey is None:
        raise NotFound("You have no such passkey.")
    return passkey
