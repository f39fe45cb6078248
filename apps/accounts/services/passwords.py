"""Password change and password reset."""

from datetime import datetime
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.errors import PasswordTooWeak, PasswordWrong
from apps.accounts.models import OneTimeToken, OutgoingMail, User, UserSession
from apps.accounts.services.address_proof import unproven_account_replace
from apps.accounts.services.known_devices import devices_forget, network_remember
from apps.accounts.services.lockout import lockout_lift, password_forgive_attempts
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.one_time_tokens import token_redeem
from apps.accounts.services.sessions import sessions_end_all
from apps.core.identity.client_info import ClientInfo
from apps.events.store.publish import publish
from apps.messages.security import UserPasswordChanged
from apps.messages.user import UserUpdated


def password_require_strong(password: str, *, user: User) -> None:
    """Raises PasswordTooWeak with a sentence for each rule that the password breaks."""
    try:
        validate_password(password, user=user)
    except ValidationError as error:
        raise PasswordTooWeak(" ".join(error.messages), rules=list(error.messages)) from None


@transaction.atomic
def password_change(
    *, user_id: UUID, session_id: UUID | None, current_password: str, new_password: str, now: datetime
) -> None:
    """Changes the password and ends every session except `session_id`. Raises PasswordWrong, PasswordTooWeak."""
    user = User.objects.select_for_update().get(pk=user_id)
    if not user.check_password(current_password):
        raise PasswordWrong()
    _set(user, new_password, now, how="changed", spare=session_id)
    password_forgive_attempts(session_id=session_id)


def password_forgot(*, email: str, now: datetime) -> None:
    """Queues a mail with a reset token. An address without an account is handled alike, so that it is not revealed."""
    mail_queue(kind=OutgoingMail.Kind.RESET_PASSWORD, email=email, now=now)


@transaction.atomic
def password_reset(*, token: str, new_password: str, client: ClientInfo, now: datetime) -> None:
    """Sets a new password with a mailed token and ends every session. Two-factor log-in stays as it is.

    If the address was not proved before, the password is that of a new account, which inherits nothing.

    Lifts every lock, and knows the caller's network from now on: the way in while an attacker locks the account.

    Raises TokenNotValid, and PasswordTooWeak, after which the token is still valid.
    """
    user = token_redeem(token=token, purpose=OneTimeToken.Purpose.RESET_PASSWORD, now=now)
    if user.is_unproven:
        password_require_strong(new_password, user=user)
        user = unproven_account_replace(unproven=user, password=new_password, now=now)
    else:
        _set(user, new_password, now, how="reset")
    lockout_lift(email=user.email)
    devices_forget(user=user)
    network_remember(user=user, address=client.address, now=now)
    if user.email_verified_at is None:  # the token was mailed to that address
        User.objects.filter(pk=user.pk).update(email_verified_at=now)


def _set(user: User, password: str, now: datetime, *, how: str, spare: UUID | None = None) -> None:
    password_require_strong(password, user=user)
    user.set_password(password)
    user.save(update_fields=["password"])
    sessions_end_all(user_id=user.id, ending=UserSession.Ending.PASSWORD_CHANGED, now=now, spare=spare)
    publish(UserPasswordChanged(user_id=user.id, how=how), now=now)
    publish(UserUpdated(user_id=user.id, changed=("password",)), now=now)
    mail_queue(kind=OutgoingMail.Kind.PASSWORD_CHANGED, email=user.email, now=now)
