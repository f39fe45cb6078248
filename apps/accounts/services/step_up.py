"""Step-up: a user who is logged in proves the second factor again, for calls that put real money at risk."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from apps.accounts.errors import OtpInvalid, StepUpNeedsMfa
from apps.accounts.models import User
from apps.accounts.services.lockout import step_up_forgive_attempts
from apps.accounts.services.mfa import mfa_is_enabled, totp_redeem
from apps.accounts.services.sessions import holder_of
from apps.accounts.tokens import mint_access
from apps.core.assurance import STEP_UP_LASTS
from apps.events.store.publish import publish
from apps.messages.user import UserSteppedUp

log = structlog.get_logger(__name__)


@dataclass(frozen=True, repr=False)
class StepUp:
    """A token with the proof. `expires_at` is the token's end, `step_up_expires_at` the proof's (UTC)."""

    access: str
    expires_at: datetime
    step_up_expires_at: datetime


def step_up(*, user_id: UUID, session_id: UUID, otp: str, now: datetime) -> StepUp:
    """A new access token for the same session. The proof is in this token alone: a refreshed one has none.

    Recovery codes are not taken: they replace a lost authenticator at log-in, and a user without one
    sets up another before real money moves. Raises StepUpNeedsMfa, OtpInvalid.
    """
    if not mfa_is_enabled(user_id=user_id):
        raise StepUpNeedsMfa()
    with transaction.atomic():
        if not totp_redeem(user_id=user_id, otp=otp, now=now):
            log.info("step_up_refused", user_id=str(user_id))
            raise OtpInvalid()
        holder = holder_of(User.objects.get(pk=user_id), session_id=session_id)
        publish(UserSteppedUp(user_id=user_id, session_id=session_id, method="otp"), now=now)
        step_up_forgive_attempts(user_id=user_id)
    minted = mint_access(holder=holder, now=now, stepped_up_at=now)
    return StepUp(access=minted.token, expires_at=minted.expires_at, step_up_expires_at=now + STEP_UP_LASTS)
