"""Models of accounts. Personal data stays in these tables: events carry ids only."""

from apps.accounts.models.mail import OutgoingMail
from apps.accounts.models.security import LockoutCounter, MfaDevice, OneTimeToken, RecoveryCode
from apps.accounts.models.session import UserSession
from apps.accounts.models.user import STAFF_ROLES, User

__all__ = [
    "STAFF_ROLES",
    "LockoutCounter",
    "MfaDevice",
    "OneTimeToken",
    "OutgoingMail",
    "RecoveryCode",
    "User",
    "UserSession",
]
