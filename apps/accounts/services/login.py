"""Log-in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.contrib.auth.hashers import make_password, verify_password
from django.db import transaction

from apps.accounts.errors import InvalidCredentials, OtpInvalid, OtpRequired
from apps.accounts.models import Door, LogInReport, User, UserSession
from apps.accounts.services.known_devices import device_remember
from apps.accounts.services.lockout import lockout_count_attempt, lockout_forgive_attempt, lockout_withdraw_attempt
from apps.accounts.services.log_in_reports import failure_report
from apps.accounts.services.mfa import mfa_is_enabled, otp_redeem
from apps.accounts.services.sessions import session_start
from apps.core.identity.actor import identify_actor
from apps.core.identity.client_info import ClientInfo
from apps.core.identity.principal import account_actor
from apps.events.store.publish import publish
from apps.messages.user import UserLoggedIn, UserLoggedInByPasskey

log = structlog.get_logger(__name__)


@dataclass(frozen=True, repr=False)
class LogIn:
    """The session's tokens, and the token by which the next log-in from this device is known."""

    access: str
    refresh: str
    device_token: str


def user_log_in(
    *, email: str, password: str, otp: str, client: ClientInfo, now: datetime, device_token: str = ""
) -> LogIn:
    """Opens a session. `email` is normalised. Raises InvalidCredentials, OtpRequired, OtpInvalid, TooManyAttempts."""
    user, method = credentials_check(
        email=email, password=password, otp=otp, client=client, device_token=device_token, now=now
    )
    with transaction.atomic():
        user = _still_valid(user)

        def event(session_id: UUID) -> UserLoggedIn:
            return UserLoggedIn(user_id=user.id, session_id=session_id, method=method.value)

        return log_in_finish(user=user, method=method, client=client, device_token=device_token, event=event, now=now)


def log_in_finish(
    *,
    user: User,
    method: UserSession.Method,
    client: ClientInfo,
    device_token: str,
    event: Callable[[UUID], UserLoggedIn | UserLoggedInByPasskey],
    now: datetime,
) -> LogIn:
    """Opens the session of a user who proved to be the owner, whatever by, in the caller's transaction with the user
    locked. `event` makes what is published of the session's id."""
    pair = session_start(user=user, method=method, client=client, now=now)
    identify_actor(account_actor(user_id=user.id, roles=user.roles, session_id=pair.session_id))
    device_token = device_remember(user=user, client=client, device_token=device_token, now=now)
    publish(event(pair.session_id), now=now)
    User.objects.filter(pk=user.pk).update(last_login=now)
    return LogIn(access=pair.access, refresh=pair.refresh, device_token=device_token)


def credentials_check(
    *,
    email: str,
    password: str,
    otp: str,
    client: ClientInfo,
    now: datetime,
    device_token: str = "",
    door: Door = Door.API,
) -> tuple[User, UserSession.Method]:
    """Checks the credentials and returns their user. Opens no session. Raises as `user_log_in`.

    Call it outside a transaction: hashing takes 0.1 s, and a counted attempt must stay counted, and reported.
    """
    attempt = lockout_count_attempt(email=email, client=client, device_token=device_token, door=door, now=now)
    user = User.objects.filter(email=email).first()
    if user is None:
        make_password(password)  # same duration as for a known account
    if user is None or not password_matches(user, password) or not user.is_active:
        is_disabled = user is not None and not user.is_active
        log.info("login_refused", user_id=str(user.id) if user else None, address=client.address)
        reason = LogInReport.Reason.DISABLED if is_disabled else LogInReport.Reason.PASSWORD
        failure_report(email=email, reason=reason, door=door, client=client, now=now)
        raise InvalidCredentials()
    try:
        method = _second_factor(user, otp, now)
    except OtpRequired:
        lockout_withdraw_attempt(attempt)  # the password was correct, and no code was guessed
        raise
    except OtpInvalid:
        failure_report(email=email, reason=LogInReport.Reason.OTP, door=door, client=client, now=now)
        raise
    lockout_forgive_attempt(attempt)
    return user, method


def password_matches(user: User, password: str) -> bool:
    """Verifies the password. Rehashes it if its hash has older parameters and the password has not changed since."""
    stored = user.password
    is_correct, must_update = verify_password(password, stored)
    if is_correct and must_update:
        user.password = make_password(password)
        User.objects.filter(pk=user.pk, password=stored).update(password=user.password)
    return is_correct


def _second_factor(user: User, otp: str, now: datetime) -> UserSession.Method:
    if not mfa_is_enabled(user_id=user.id):
        return UserSession.Method.PASSWORD
    if not otp:
        raise OtpRequired()
    if not otp_redeem(user_id=user.id, otp=otp, now=now):
        log.info("login_otp_refused", user_id=str(user.id))
        raise OtpInvalid()
    return UserSession.Method.PASSWORD_AND_OTP


def _still_valid(checked: User) -> User:
    """Locks the account. Raises InvalidCredentials if it was disabled or its password changed since the check."""
    user = User.objects.select_for_update().get(pk=checked.pk)
    if not user.is_active or user.password != checked.password:
        raise InvalidCredentials()
    return user
