"""Changes that staff make to accounts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.db import transaction

from apps.accounts.errors import AccountIsClosed, EmailTaken, NotOnYourself, RoleNotYours
from apps.accounts.models import AccountClosure, User, UserSession
from apps.accounts.services.address_reservation import is_reserved_for_another
from apps.accounts.services.passwords import password_require_strong
from apps.accounts.services.profile import user_apply
from apps.accounts.services.sessions import sessions_end_all
from apps.core.errors import NotFound
from apps.core.identity.principal import Role
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.security import UserPasswordChanged
from apps.messages.user import UserCreated, UserDisabled, UserEnabled, UserUpdated

ADMIN_ONLY = frozenset({"roles", "is_active"})


@transaction.atomic
def user_update_by_staff(
    *, user_id: UUID, changes: dict[str, Any], staff_id: UUID, staff_roles: frozenset[Role], now: datetime
) -> User:
    """Changes name, time zone, roles or `is_active` of an account. A change of the latter two ends its sessions.

    Raises NotFound, RoleNotYours (only an admin changes roles and `is_active`), NotOnYourself.
    """
    if Role.ADMIN not in staff_roles and not ADMIN_ONLY.isdisjoint(changes):
        raise RoleNotYours("Only an admin may change roles or disable an account.")
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound("There is no such account.")
    if AccountClosure.objects.filter(pk=user_id).exists():
        raise AccountIsClosed()
    if Role.ADMIN not in staff_roles and user.is_staff and user.id != staff_id:
        raise RoleNotYours("Only an admin may change an account of staff.")
    if "roles" in changes:
        changes = {**changes, "roles": sorted(set(changes["roles"]))}
    changed = user_apply(user, changes)
    if not ADMIN_ONLY.isdisjoint(changed):
        if user.id == staff_id:
            raise NotOnYourself()
        sessions_end_all(user_id=user.id, ending=UserSession.Ending.ACCESS_CHANGED, now=now)
    _announce(user, changed, now=now)
    return user


@transaction.atomic
def staff_create(*, email: str, password: str, role: Role, name: str, now: datetime) -> tuple[User, bool]:
    """Creates a staff account, or gives an existing account the role and the password. `email` is normalised.

    Returns the account and whether it is new. Raises PasswordTooWeak, EmailTaken.
    """
    user = User.objects.select_for_update().filter(email=email).first()
    if user is None:
        user = User(id=new_id(), email=email, name=name, roles=[role.value], email_verified_at=now, created_at=now)
        password_require_strong(password, user=user)
        user.password = make_password(password)
        user.save(force_insert=True)
        if is_reserved_for_another(user, now=now):
            raise EmailTaken()
        publish(UserCreated(user_id=user.id, roles=tuple(user.roles), created_at=now), now=now)
        return user, True

    changes: dict[str, Any] = {"roles": sorted({*user.roles, role.value}), "is_active": True}
    if user.email_verified_at is None:
        changes["email_verified_at"] = now  # the person who runs the command vouches for the address
    if not user.check_password(password):
        password_require_strong(password, user=user)
        changes["password"] = make_password(password)
    changed = user_apply(user, changes)
    if changed:
        sessions_end_all(user_id=user.id, ending=UserSession.Ending.ACCESS_CHANGED, now=now)
        _announce(user, changed, now=now)
    if "password" in changed:
        publish(UserPasswordChanged(user_id=user.id, how="set_by_staff"), now=now)
    return user, False


def _announce(user: User, changed: tuple[str, ...], *, now: datetime) -> None:
    if changed:
        publish(UserUpdated(user_id=user.id, changed=changed), now=now)
    if "is_active" in changed:
        publish(
            UserEnabled(user_id=user.id, enabled_at=now)
            if user.is_active
            else UserDisabled(user_id=user.id, disabled_at=now),
            now=now,
        )
