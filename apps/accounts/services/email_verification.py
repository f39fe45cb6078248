"""Verification of the e-mail address by a mailed code."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import PasswordNotOfAccount
from apps.accounts.models import OneTimeToken, OutgoingMail, User
from apps.accounts.services.address_proof import unproven_account_replace
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.one_time_tokens import token_redeem
from apps.accounts.services.profile import user_apply
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated


@transaction.atomic
def email_verify(*, token: str, password: str | None, caller_id: UUID | None, now: datetime) -> bool:
    """Marks the e-mail address as verified. Returns whether the account is still the one that was registered.

    The code alone proves that the caller owns the address, not that the caller registered it. A caller who also has the
    account's password, or a session of it (`caller_id`), did both and keeps it. Any other one gets a new account,
    and a mail with a code for its password. Raises TokenNotValid, and PasswordNotOfAccount, after which the code
    is still valid.
    """
    user = token_redeem(token=token, purpose=OneTimeToken.Purpose.VERIFY_EMAIL, now=now)
    if user.email_verified_at is not None:
        return True
    if password is not None and not user.check_password(password):
        raise PasswordNotOfAccount()
    if user.is_unproven and password is None and caller_id != user.id:
        owner = unproven_account_replace(unproven=user, password=None, now=now)
        mail_queue(kind=OutgoingMail.Kind.CHOOSE_PASSWORD, email=owner.email, now=now)
        return False
    user_apply(user, {"email_verified_at": now})
    publish(UserUpdated(user_id=user.id, changed=("email_verified_at",)), now=now)
    return True


@transaction.atomic
def email_verification_resend(*, user_id: UUID, now: datetime) -> None:
    """Queues a mail with a new code. Does nothing if the address is verified."""
    user = User.objects.get(pk=user_id)
    if user.email_verified_at is None:
        mail_queue(kind=OutgoingMail.Kind.VERIFY_EMAIL, email=user.email, now=now)
