"""Step-up: a user who is logged in proves again that it is them, for calls that put money or the account at risk."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from django.db import transaction

from apps.accounts.errors import OtpInvalid, PasswordWrong, StepUpNeedsMfa, StepUpNeedsSecondFactor, StepUpRequired
from apps.accounts.models import User
from apps.accounts.services.lockout import step_up_forgive_attempts
from apps.accounts.services.login import password_matches
from apps.accounts.services.mfa import has_authenticator, mfa_is_enabled, totp_redeem
from apps.accounts.services.sessions import holder_of
from apps.accounts.tokens import mint_access
from apps.core.identity.assurance import STEP_UP_LASTS, Assurance
from apps.events.store.publish import publish
from apps.messages.security import UserStepUpFailed
from apps.messages.user import UserSteppedUp, UserSteppedUpOtherwise

log = structlog.get_logger(__name__)

Method = Literal["otp", "passkey", "password"]


@dataclass(frozen=True, repr=False)
class StepUp:
    """A token with the proof. `expires_at` is the token's end, `step_up_expires_at` the proof's (UTC)."""

    access: str
    expires_at: datetime
    step_up_expires_at: datetime


def step_up_require(*, user_id: UUID, assurance: Assurance, now: datetime) -> None:
    """The one question before every sensitive change of an account. Raises StepUpRequired.

    A proof by password counts only while the account has no second factor: one that was set up since makes it void.
    """
    if not step_up_is_fresh(user_id=user_id, assurance=assurance, now=now):
        raise StepUpRequired()


def step_up_is_fresh(*, user_id: UUID, assurance: Assurance, now: datetime) -> bool:
    return assurance.has_fresh_step_up(now=now) and (assurance.has_mfa or not mfa_is_enabled(user_id=user_id))


def step_up(*, user_id: UUID, session_id: UUID, otp: str, now: datetime) -> StepUp:
    """A new access token for the same session. The proof is in this token alone: a refreshed one has none.

    Recovery codes are not taken: they replace a lost authenticator at log-in, and a user without one
    sets up another before real money moves. Raises StepUpNeedsMfa, OtpInvalid.
    """
    if not has_authenticator(user_id=user_id):
        raise StepUpNeedsMfa()
    with transaction.atomic():
        if totp_redeem(user_id=user_id, otp=otp, now=now):
            return stepped_up(User.objects.get(pk=user_id), session_id=session_id, method="otp", now=now)
        step_up_failed(user_id=user_id, session_id=session_id, method="otp", now=now)
    raise OtpInvalid()


def step_up_by_password(*, user_id: UUID, session_id: UUID, password: str, now: datetime) -> StepUp:
    """As `step_up`, for an account without a second factor. Its token says so, and opens no gate of live trading.

    Raises StepUpNeedsSecondFactor, PasswordWrong.
    """
    if mfa_is_enabled(user_id=user_id):
        raise StepUpNeedsSecondFactor()
    # Outside of the transaction: hashing takes 0.1 s.
    if not password_matches(User.objects.get(pk=user_id), password):
        step_up_failed(user_id=user_id, session_id=session_id, method="password", now=now)
        raise PasswordWrong()
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if mfa_is_enabled(user_id=user_id):
            raise StepUpNeedsSecondFactor()
        return stepped_up(user, session_id=session_id, method="password", now=now)


@transaction.atomic
def step_up_failed(*, user_id: UUID, session_id: UUID, method: Method, now: datetime) -> None:
    """Announces a wrong proof. The caller raises outside of the transaction, which would take the event back."""
    log.info("step_up_refused", user_id=str(user_id), method=method)
    publish(UserStepUpFailed(user_id=user_id, session_id=session_id, method=method), now=now)


def stepped_up(user: User, *, session_id: UUID, method: Method, now: datetime) -> StepUp:
    """The token of a proof that has just been made, and its event. In the caller's transaction."""
    if method == "otp":
        publish(UserSteppedUp(user_id=user.id, session_id=session_id, method=method), now=now)
    else:
        publish(UserSteppedUpOtherwise(user_id=user.id, session_id=session_id, method=method), now=now)
    step_up_forgive_attempts(session_id=session_id)
    minted = mint_access(holder=holder_of(user, session_id=session_id), now=now, stepped_up_at=now)
    return StepUp(access=minted.token, expires_at=minted.expires_at, step_up_expires_at=now + STEP_UP_LASTS)
