"""Change of the e-mail address: both addresses are told, the new one confirms, the old one can take it back."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.accounts.errors import EmailIsTheSame, EmailTaken, PasswordWrong, StepUpRequired, TokenNotValid
from apps.accounts.models import EmailChange, OutgoingMail, User, UserSession
from apps.accounts.services.address_proof import address_release
from apps.accounts.services.address_reservation import is_reserved_for_another
from apps.accounts.services.known_devices import devices_forget
from apps.accounts.services.lockout import password_forgive_attempts
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_is_enabled
from apps.accounts.services.profile import email_require_verified
from apps.accounts.services.sessions import sessions_end_all
from apps.accounts.services.step_up import step_up_is_fresh
from apps.accounts.tokens import digest_of
from apps.core.identity.assurance import Assurance
from apps.events.store.publish import publish
from apps.messages.user import UserEmailChanged, UserEmailChangeRequested, UserEmailReverted, UserUpdated

CONFIRM_WITHIN = timedelta(days=3)
REVERT_WITHIN = timedelta(hours=72)

State = EmailChange.State
Kind = OutgoingMail.Kind


@transaction.atomic
def email_change_request(
    *, user_id: UUID, session_id: UUID | None, new_email: str, password: str, assurance: Assurance, now: datetime
) -> EmailChange:
    """Asks both addresses. `new_email` is normalised. A second request for the same address changes nothing.

    Whether the new address has an account shows nowhere: its owner gets a mail without a code.
    Raises EmailNotVerified, StepUpRequired, PasswordWrong, EmailIsTheSame.
    """
    user = User.objects.select_for_update().get(pk=user_id)
    email_require_verified(user)
    _require_proof(user, session_id, password, assurance, now)
    if new_email == user.email:
        raise EmailIsTheSame()
    pending = EmailChange.objects.filter(user=user, state=State.PENDING)
    same = pending.filter(new_email=new_email, confirm_expires_at__gt=now).first()
    if same is not None:
        return same
    pending.update(state=State.REPLACED)
    change = EmailChange.objects.create(
        user=user,
        old_email=user.email,
        new_email=new_email,
        requested_at=now,
        confirm_expires_at=now + CONFIRM_WITHIN,
        revert_expires_at=now + REVERT_WITHIN,
    )
    publish(UserEmailChangeRequested(user_id=user.id, change_id=change.id), now=now)
    mail_queue(kind=Kind.EMAIL_CHANGE_CONFIRM, email=new_email, now=now, change=change)
    mail_queue(kind=Kind.EMAIL_CHANGE_ASKED, email=user.email, now=now, change=change)
    return change


@transaction.atomic
def email_change_confirm(*, token: str, now: datetime) -> None:
    """Makes the change, with the code that was mailed to the new address. Raises TokenNotValid, EmailTaken.

    An account that somebody registered with the new address and never confirmed gives way.
    """
    found = EmailChange.objects.filter(
        confirm_digest=digest_of(token), state=State.PENDING, confirm_expires_at__gt=now
    ).first()
    if found is None:
        raise TokenNotValid()
    user, change = _locked(found)
    if change.state != State.PENDING or not user.is_active or user.email != change.old_email:
        raise TokenNotValid()
    _take_address(user, change.new_email, now)
    change.state, change.changed_at, change.revert_expires_at = State.CHANGED, now, now + REVERT_WITHIN
    change.save(update_fields=["state", "changed_at", "revert_expires_at"])
    publish(UserEmailChanged(user_id=user.id, change_id=change.id), now=now)
    publish(UserUpdated(user_id=user.id, changed=("email",)), now=now)
    mail_queue(kind=Kind.EMAIL_CHANGED, email=change.old_email, now=now, change=change)


@transaction.atomic
def email_change_revert(*, token: str, now: datetime) -> None:
    """Takes the change back, with the code that was mailed to the old address, and every later change with it.

    The person who asked for the change knew the password: it no longer works, every session ends, and the old address
    gets a code for a new password. Raises TokenNotValid, EmailTaken.
    """
    found = EmailChange.objects.filter(
        revert_digest=digest_of(token), state__in=(State.PENDING, State.CHANGED), revert_expires_at__gt=now
    ).first()
    if found is None:
        raise TokenNotValid()
    user, change = _locked(found)
    if change.state not in (State.PENDING, State.CHANGED) or not user.is_active:
        raise TokenNotValid()
    if user.email != change.old_email:
        _take_address(user, change.old_email, now)
    EmailChange.objects.filter(
        user=user, requested_at__gte=change.requested_at, state__in=(State.PENDING, State.CHANGED)
    ).update(state=State.REVERTED)
    user.set_unusable_password()
    user.save(update_fields=["password"])
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.EMAIL_REVERTED, now=now)
    devices_forget(user=user)
    publish(UserEmailReverted(user_id=user.id, change_id=change.id), now=now)
    publish(UserUpdated(user_id=user.id, changed=("email", "password")), now=now)
    mail_queue(kind=Kind.EMAIL_REVERTED, email=change.old_email, now=now, change=change)


def _require_proof(user: User, session_id: UUID | None, password: str, assurance: Assurance, now: datetime) -> None:
    if step_up_is_fresh(user_id=user.id, assurance=assurance, now=now):
        return
    if mfa_is_enabled(user_id=user.id):
        raise StepUpRequired()
    if not user.check_password(password):
        raise PasswordWrong()
    password_forgive_attempts(session_id=session_id)


def _locked(found: EmailChange) -> tuple[User, EmailChange]:
    """The account first, as everywhere, then the change as it is now."""
    user = User.objects.select_for_update().get(pk=found.user_id)
    return user, EmailChange.objects.select_for_update().get(pk=found.pk)


def _take_address(user: User, email: str, now: datetime) -> None:
    """Raises EmailTaken, also for an address that another account can still revert to.

    The unique constraint decides between concurrent requests.
    """
    holder = User.objects.select_for_update().filter(email=email).exclude(pk=user.pk).first()
    if holder is not None and not holder.is_unproven:
        raise EmailTaken()
    if holder is not None:
        address_release(unproven=holder, now=now)
    user.email, user.email_verified_at = email, now
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "email_verified_at"])
    except IntegrityError:
        raise EmailTaken() from None
    if is_reserved_for_another(user, now=now):
        raise EmailTaken()
