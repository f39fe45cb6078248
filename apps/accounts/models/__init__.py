"""Models of accounts. Personal data stays in these tables: events carry ids only."""

from apps.accounts.models.closure import AccountClosure
from apps.accounts.models.email_change import EmailChange
from apps.accounts.models.mail import OutgoingMail
from apps.accounts.models.mfa_removal import MfaRemoval
from apps.accounts.models.passkey import Passkey, PasskeyChallenge
from apps.accounts.models.security import (
    Door,
    KnownDevice,
    LockoutCounter,
    LogInReport,
    MfaDevice,
    OneTimeToken,
    RecoveryCode,
    SigningKey,
)
from apps.accounts.models.security_notice import SecurityNotice
from apps.accounts.models.session import UserSession
from apps.accounts.models.user import STAFF_ROLES, User

__all__ = [
    "STAFF_ROLES",
    "AccountClosure",
    "Door",
    "EmailChange",
    "KnownDevice",
    "LockoutCounter",
    "LogInReport",
    "MfaDevice",
    "MfaRemoval",
    "OneTimeToken",
    "OutgoingMail",
    "Passkey",
    "PasskeyChallenge",
    "RecoveryCode",
    "SecurityNotice",
    "SigningKey",
    "User",
    "UserSession",
]
