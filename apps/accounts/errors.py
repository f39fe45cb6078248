"""Expected failures of accounts. None of them reveals whether an address has an account."""

from apps.core.errors import Conflict, Forbidden, NotAuthenticated, Refused, TooManyRequests


class InvalidCredentials(NotAuthenticated):
    """Unknown address, wrong password or disabled account: one response for all three."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is not right.")


class OtpRequired(NotAuthenticated):
    """The password is correct; the account also requires a one-time password."""

    code = "otp_required"

    def __init__(self) -> None:
        super().__init__("Send the one-time password of your authenticator as `otp`, or a recovery code.")


class OtpInvalid(NotAuthenticated):
    code = "otp_invalid"

    def __init__(self) -> None:
        super().__init__("The one-time password is not right, has expired, or was used before.")


class TooManyAttempts(TooManyRequests):
    """Lockout: refused until `retry_after_seconds` have passed, even with the correct password."""

    code = "too_many_attempts"

    def __init__(self, *, retry_after_seconds: int) -> None:
        minutes = -(-retry_after_seconds // 60)
        super().__init__(
            f"Too many failed attempts. Try again in {minutes} min.", retry_after_seconds=retry_after_seconds
        )


class RefreshRefused(NotAuthenticated):
    """The refresh token is not valid: forged, expired, used, or its session has ended."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid any more. Log in again.")


class RefreshSuperseded(Conflict):
    """A concurrent request exchanged the same refresh token first."""

    code = "refresh_superseded"

    def __init__(self) -> None:
        super().__init__("Another request has just exchanged this refresh token. Use the tokens that it got.")


class PasswordTooWeak(Refused):
    code = "password_too_weak"


class PasswordWrong(Refused):
    """The current password, required again before a sensitive change, is wrong."""

    code = "password_wrong"

    def __init__(self) -> None:
        super().__init__("The current password is not right.")


class TokenNotValid(Refused):
    """The mailed token is unknown, used or expired."""

    code = "token_not_valid"

    def __init__(self) -> None:
        super().__init__("This code is not valid: it is unknown, has been used, or has expired. Ask for a new one.")


class MfaAlreadyEnabled(Conflict):
    code = "mfa_already_enabled"

    def __init__(self) -> None:
        super().__init__("Two-factor log-in is already on. Disable it first.")


class MfaNotSetUp(Conflict):
    code = "mfa_not_set_up"

    def __init__(self) -> None:
        super().__init__("Two-factor log-in has not been set up.")


class OtpWrong(Refused):
    """As OtpInvalid, for a logged-in user."""

    code = "otp_wrong"

    def __init__(self) -> None:
        super().__init__("The one-time password is not right, has expired, or was used before.")


class StepUpNeedsMfa(Forbidden):
    """A step-up proves a second factor, and the account has none."""

    code = "mfa_required"

    def __init__(self) -> None:
        super().__init__(
            "A step-up needs two-factor log-in, which this account does not have. Set it up with "
            "POST /api/v1/auth/mfa/setup and /auth/mfa/confirm."
        )


class RoleNotYours(Forbidden):
    """The staff member's role does not allow the change."""

    code = "role_not_sufficient"


class NotOnYourself(Conflict):
    """Staff cannot remove their own access: at least one admin must remain who can restore it."""

    code = "not_on_yourself"

    def __init__(self) -> None:
        super().__init__("You cannot change your own roles or disable your own account.")
