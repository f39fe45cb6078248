"""Removal of a lost second factor: one member of staff asks with a reason, an admin who is another one consents."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import MfaNotSetUp, MfaRemovalOpen, MfaRemovalOver, RoleNotYours, TwoPersonsNeeded
from apps.accounts.models import MfaRemoval, OutgoingMail, User, UserSession
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_is_enabled, second_factors_delete
from apps.accounts.services.sessions import sessions_end_all
from apps.core.errors import NotFound
from apps.core.identity.principal import Role
from apps.events.store.publish import publish
from apps.messages.user import UserMfaRemovalRequested, UserMfaRemoved, UserUpdated

CONSENT_WITHIN = timedelta(hours=24)


@transaction.atomic
def mfa_removal_request(*, user_id: UUID, staff_id: UUID, reason: str, now: datetime) -> MfaRemoval:
    """Asks for a removal, and mails the owner. Support and admin may; for an account of staff only an admin.

    Raises NotFound, RoleNotYours, TwoPersonsNeeded (for the own account), MfaNotSetUp, MfaRemovalOpen.
    """
    user = User.objects.select_for_update().filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("There is no such account.")
    _require_role(staff_id, *((Role.ADMIN,) if user.is_staff else (Role.ADMIN, Role.SUPPORT)))
    if staff_id == user_id:
        raise TwoPersonsNeeded()
    if not mfa_is_enabled(user_id=user_id):
        raise MfaNotSetUp()
    if MfaRemoval.objects.filter(user=user, removed_at=None, expires_at__gt=now).exists():
        raise MfaRemovalOpen()
    removal = MfaRemoval.objects.create(
        user=user, reason=reason, requested_by_id=staff_id, requested_at=now, expires_at=now + CONSENT_WITHIN
    )
    publish(UserMfaRemovalRequested(user_id=user.id, removal_id=removal.id, requested_by=staff_id), now=now)
    mail_queue(kind=OutgoingMail.Kind.MFA_REMOVAL_ASKED, email=user.email, now=now)
    return removal


@transaction.atomic
def mfa_removal_consent(*, removal_id: UUID, staff_id: UUID, now: datetime) -> None:
    """Removes authenticator, passkeys and recovery codes, ends every session, and mails the owner. Admins may.

    Raises NotFound, RoleNotYours, TwoPersonsNeeded, MfaRemovalOver.
    """
    found = MfaRemoval.objects.filter(pk=removal_id).first()
    if found is None:
        raise NotFound("There is no such request.")
    user = User.objects.select_for_update().get(pk=found.user_id)
    removal = MfaRemoval.objects.select_for_update().get(pk=removal_id)
    _require_role(staff_id, Role.ADMIN)
    if staff_id in (removal.requested_by_id, removal.user_id):
        raise TwoPersonsNeeded()
    if removal.removed_at is not None or removal.expires_at <= now:
        raise MfaRemovalOver()
    removal.consented_by_id, removal.removed_at = staff_id, now
    removal.save(update_fields=["consented_by", "removed_at"])
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.ENDED_BY_STAFF, now=now)
    second_factors_delete(user=user, now=now)
    publish(
        UserMfaRemoved(
            user_id=user.id, removal_id=removal.id, requested_by=removal.requested_by_id, consented_by=staff_id
        ),
        now=now,
    )
    publish(UserUpdated(user_id=user.id, changed=("mfa",)), now=now)
    mail_queue(kind=OutgoingMail.Kind.MFA_REMOVED, email=user.email, now=now)


def _require_role(staff_id: UUID, *roles: Role) -> None:
    """Reads the role from the account, as it is now. Raises RoleNotYours."""
    staff = User.objects.filter(pk=staff_id, is_active=True).first()
    if staff is None or not set(roles) & set(staff.roles):
        raise RoleNotYours(f"This needs the role {' or '.join(roles)}.")
