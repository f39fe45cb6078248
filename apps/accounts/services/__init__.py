"""The only writers of accounts. One module a concern; the doors call them by these names."""

from apps.accounts.services.guard import guard_admit, guard_lift
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.login import credentials_check, user_log_in
from apps.accounts.services.mail import mail_send_due
from apps.accounts.services.mfa import mfa_confirm, mfa_disable, mfa_set_up
from apps.accounts.services.passwords import password_change, password_forgot, password_reset
from apps.accounts.services.profile import email_verify, profile_update
from apps.accounts.services.registration import user_register
from apps.accounts.services.sessions import session_end, session_log_out, session_refresh, sessions_end_all
from apps.accounts.services.staff import staff_create, user_update_by_staff

__all__ = [
    "accounts_purge",
    "credentials_check",
    "email_verify",
    "guard_admit",
    "guard_lift",
    "mail_send_due",
    "mfa_confirm",
    "mfa_disable",
    "mfa_set_up",
    "password_change",
    "password_forgot",
    "password_reset",
    "profile_update",
    "session_end",
    "session_log_out",
    "session_refresh",
    "sessions_end_all",
    "staff_create",
    "user_log_in",
    "user_register",
    "user_update_by_staff",
]
