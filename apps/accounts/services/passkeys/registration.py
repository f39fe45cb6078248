"""Registration of a passkey: options with a challenge, then the authenticator's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.accounts.errors import EmailNotVerified, PasskeyAlreadyRegistered, TooManyPasskeys
from apps.accounts.models import OutgoingMail, Passkey, PasskeyChallenge, User, UserSession
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.mfa import mfa_announce_enabled, mfa_is_enabled, recovery_codes_issue
from apps.accounts.services.passkeys.ceremonies import (
    Credential,
    NewCredential,
    registration_challenge,
    registration_options,
    registration_verify,
)
from apps.accounts.services.passkeys.challenges import challenge_issue, challenge_redeem
from apps.accounts.services.sessions import sessions_end_all
from apps.accounts.services.step_up import step_up_require
from apps.core.identity.assurance import Assurance
from apps.core.ids import new_id
from apps.events.store.publish import publish
from apps.messages.user import PasskeyAdded

MOST_PASSKEYS = 20


@dataclass(frozen=True, repr=False)
class Registered:
    """`recovery_codes` are given with the first second factor of the account, and empty otherwise."""

    passkey: Passkey
    recovery_codes: Sequence[str]


def passkey_registration_options(
    *, user_id: UUID, session_id: UUID, assurance: Assurance, now: datetime
) -> dict[str, Any]:
    """What `navigator.credentials.create()` takes.

    Raises StepUpRequired, EmailNotVerified, TooManyPasskeys, PasskeysUnavailable.
    """
    step_up_require(user_id=user_id, assurance=assurance, now=now)
    user = User.objects.get(pk=user_id)
    _refuse_unfit(user)
    challenge = challenge_issue(purpose=PasskeyChallenge.Purpose.REGISTER, session_id=session_id, now=now)
    return registration_options(user=user, known=Passkey.objects.filter(user=user), challenge=challenge)


def passkey_register(
    *, user_id: UUID, session_id: UUID, name: str, credential: Credential, now: datetime
) -> Registered:
    """Stores the passkey that answered the session's challenge, once.

    Raises PasskeyRefused, PasskeyAlreadyRegistered, EmailNotVerified, TooManyPasskeys.
    """
    challenge = registration_challenge(credential)
    challenge_redeem(challenge, purpose=PasskeyChallenge.Purpose.REGISTER, session_id=session_id, now=now)
    made = registration_verify(credential, challenge=challenge)
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        _refuse_unfit(user)
        is_first_factor = not mfa_is_enabled(user_id=user_id)
        passkey = _insert(user, name, made, now)
        publish(PasskeyAdded(user_id=user_id, passkey_id=passkey.id), now=now)
        mail_queue(kind=OutgoingMail.Kind.PASSKEY_ADDED, email=user.email, now=now)
        codes: list[str] = []
        if is_first_factor:
            codes = recovery_codes_issue(user_id=user_id)
            mfa_announce_enabled(user, method="passkey", now=now)
            sessions_end_all(user_id=user_id, ending=UserSession.Ending.MFA_ENABLED, now=now, spare=session_id)
    return Registered(passkey, codes)


def _refuse_unfit(user: User) -> None:
    if user.email_verified_at is None:
        raise EmailNotVerified()
    if Passkey.objects.filter(user=user).count() >= MOST_PASSKEYS:
        raise TooManyPasskeys(MOST_PASSKEYS)


def _insert(user: User, name: str, made: NewCredential, now: datetime) -> Passkey:
    try:
        with transaction.atomic():
            return Passkey.objects.create(
                id=new_id(),
                user=user,
                credential_id=made.credential_id,
                public_key=made.public_key,
                sign_count=made.sign_count,
                aaguid=UUID(made.aaguid),
                transports=made.transports,
                is_synced=made.is_synced,
                name=name,
                created_at=now,
            )
    except IntegrityError:
        raise PasskeyAlreadyRegistered() from None
