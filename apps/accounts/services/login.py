"""Log-in."""

from datetime import datetime

import structlog
from django.contrib.auth.hashers import make_password, verify_password
from django.db import transaction

from apps.accounts.client_info import ClientInfo
from apps.accounts.errors import InvalidCredentials, OtpInvalid, OtpRequired
from apps.accounts.models import User, UserSession
from apps.accounts.services.lockout import lockout_count_attempt, lockout_forgive_attempt
from apps.accounts.services.mfa import mfa_is_enabled, otp_redeem
from apps.accounts.services.sessions import session_start
from apps.accounts.tokens import TokenPair
from apps.events.store.publish import publish
from apps.messages.user import UserLoggedIn

log = structlog.get_logger(__name__)


def user_log_in(*, email: str, password: str, otp: str, client: ClientInfo, now: datetime) -> TokenPair:
    """Opens a session. `email` is normalised. Raises InvalidCredentials, OtpRequired, OtpInvalid, TooManyAttempts."""
    user, method = credentials_check(email=email, password=password, otp=otp, client=client, now=now)
    with transaction.atomic():
        user = _still_valid(user)
        pair = session_start(user=user, method=method, client=client, now=now)
        publish(UserLoggedIn(user_id=user.id, session_id=pair.session_id, method=method.value), now=now)
        User.objects.filter(pk=user.pk).update(last_login=now)
    return pair


def credentials_check(
    *, email: str, password: str, otp: str, client: ClientInfo, now: datetime
) -> tuple[User, UserSession.Method]:
    """Checks the credentials and returns their user. Opens no session. Raises as `user_log_in`.

    Call it outside a transaction: hashing takes 0.1 s, and a counted attempt must stay counted.
    """
    lockout_count_attempt(email=email, address=client.address, now=now)
    user = User.objects.filter(email=email).first()
    if user is None or not password_matches(user, password) or not user.is_active:
        if user is None:
            make_password(password)  # same duration as for a known account
        log.info("login_refused", user_id=str(user.id) if user else None, address=client.address)
        raise InvalidCredentials()
    method = _second_factor(user, otp, now)
    lockout_forgive_attempt(email=email, address=client.address)
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
