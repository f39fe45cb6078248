"""A passkey as proof: at log-in without a password, and at a step-up."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import transaction

from apps.accounts.errors import PasskeyRefused
from apps.accounts.models import Door, LogInReport, OutgoingMail, Passkey, PasskeyChallenge, User, UserSession
from apps.accounts.services.log_in_reports import failure_report
from apps.accounts.services.login import LogIn, log_in_finish
from apps.accounts.services.mail import mail_queue
from apps.accounts.services.passkeys.ceremonies import (
    Assertion,
    Credential,
    assertion_challenge,
    assertion_verify,
    authentication_options,
)
from apps.accounts.services.passkeys.challenges import challenge_issue, challenge_redeem
from apps.accounts.services.step_up import StepUp, step_up_failed, stepped_up
from apps.core.identity.client_info import ClientInfo
from apps.events.store.publish import publish
from apps.messages.user import PasskeyCopied, UserLoggedInByPasskey

log = structlog.get_logger(__name__)

Purpose = PasskeyChallenge.Purpose
T = TypeVar("T")


def passkey_log_in_options(*, now: datetime) -> dict[str, Any]:
    """What `navigator.credentials.get()` takes. It names no passkey, so that it tells nothing of any account."""
    challenge = challenge_issue(purpose=Purpose.LOGIN, session_id=None, now=now)
    return authentication_options(allowed=(), challenge=challenge)


def passkey_log_in(*, credential: Credential, client: ClientInfo, now: datetime, device_token: str = "") -> LogIn:
    """Opens a session. A passkey counts as two factors: no one-time password is asked for. Raises PasskeyRefused."""

    def open_session(user: User, passkey: Passkey) -> LogIn:
        def event(session_id: UUID) -> UserLoggedInByPasskey:
            return UserLoggedInByPasskey(user_id=user.id, session_id=session_id, passkey_id=passkey.id)

        method = UserSession.Method.PASSKEY
        return log_in_finish(user=user, method=method, client=client, device_token=device_token, event=event, now=now)

    try:
        return _prove(credential, purpose=Purpose.LOGIN, user_id=None, session_id=None, proved=open_session, now=now)
    except PasskeyRefused:
        failure_report(
            email=_claimed_email(credential),
            reason=LogInReport.Reason.PASSKEY,
            door=Door.API,
            client=client,
            now=now,
        )
        raise


def passkey_step_up_options(*, user_id: UUID, session_id: UUID, now: datetime) -> dict[str, Any]:
    """What `navigator.credentials.get()` takes, with the account's passkeys. Raises PasskeyRefused without any."""
    allowed = list(Passkey.objects.filter(user_id=user_id))
    if not allowed:
        raise PasskeyRefused()
    challenge = challenge_issue(purpose=Purpose.STEP_UP, session_id=session_id, now=now)
    return authentication_options(allowed=allowed, challenge=challenge)


def passkey_step_up(*, user_id: UUID, session_id: UUID, credential: Credential, now: datetime) -> StepUp:
    """A step-up by one of the account's passkeys. Raises PasskeyRefused."""
    try:
        return _prove(
            credential,
            purpose=Purpose.STEP_UP,
            user_id=user_id,
            session_id=session_id,
            proved=lambda user, _: stepped_up(user, session_id=session_id, method="passkey", now=now),
            now=now,
        )
    except PasskeyRefused:
        step_up_failed(user_id=user_id, session_id=session_id, method="passkey", now=now)
        raise


def _claimed_email(credential: Credential) -> str:
    """The address of the account whose passkey it says it is; empty where there is none."""
    try:
        _, credential_id, _ = assertion_challenge(credential)
    except PasskeyRefused:
        return ""
    owner = Passkey.objects.filter(credential_id=credential_id).values_list("user__email", flat=True).first()
    return owner or ""


def _prove(
    credential: Credential,
    *,
    purpose: Purpose,
    user_id: UUID | None,
    session_id: UUID | None,
    proved: Callable[[User, Passkey], T],
    now: datetime,
) -> T:
    challenge, credential_id, user_handle = assertion_challenge(credential)
    challenge_redeem(challenge, purpose=purpose, session_id=session_id, now=now)
    with transaction.atomic():
        # Locked before the counters are compared: of two answers at once the second sees the first one's counter.
        passkey = Passkey.objects.select_for_update().filter(credential_id=credential_id).first()
        if passkey is None:
            raise PasskeyRefused()
        user = User.objects.select_for_update().get(pk=passkey.user_id)
        is_owner = user_handle == user.id.bytes if user_id is None else user.id == user_id
        if not (is_owner and user.is_active):
            raise PasskeyRefused()
        assertion = assertion_verify(credential, challenge=challenge, passkey=passkey)
        if _is_fresh(assertion, passkey):
            passkey.sign_count, passkey.is_synced, passkey.last_used_at = assertion.sign_count, assertion.is_synced, now
            passkey.save(update_fields=["sign_count", "is_synced", "last_used_at"])
            return proved(user, passkey)
        # Not raised in here: the event must be committed.
        _report_copy(user, passkey, assertion, now)
    raise PasskeyRefused()


def _is_fresh(assertion: Assertion, passkey: Passkey) -> bool:
    """Whether the counter went up, or the authenticator has none (WebAuthn Level 3, 6.1.1)."""
    return assertion.sign_count > passkey.sign_count or assertion.sign_count == passkey.sign_count == 0


def _report_copy(user: User, passkey: Passkey, assertion: Assertion, now: datetime) -> None:
    log.warning("passkey_counter_regressed", user_id=str(user.id), passkey_id=str(passkey.id))
    event = PasskeyCopied(
        user_id=user.id, passkey_id=passkey.id, last_count=passkey.sign_count, shown_count=assertion.sign_count
    )
    publish(event, now=now)
    mail_queue(kind=OutgoingMail.Kind.PASSKEY_COPIED, email=user.email, now=now)
