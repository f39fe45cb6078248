"""Switching two-factor log-in on."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.models import UserSession
from apps.accounts.services.mfa import mfa_confirm
from apps.accounts.services.sessions import sessions_end_all


@transaction.atomic
def mfa_switch_on(*, user_id: UUID, session_id: UUID | None, otp: str, now: datetime) -> list[str]:
    """As `mfa_confirm`, and ends every other session: they were opened without the second factor.

    `session_id` is the caller's; without one, as on the staff site, every session ends.
    """
    codes = mfa_confirm(user_id=user_id, otp=otp, now=now, session_id=session_id)
    sessions_end_all(user_id=user_id, ending=UserSession.Ending.MFA_ENABLED, now=now, spare=session_id)
    return codes
