"""Expected failures of accounts. None of them says whether an address has an account."""

from apps.core.errors import Conflict, Forbidden, NotAuthenticated, Refused, TooManyRequests


class InvalidCredentials(NotAuthenticated):
    """Unknown address, wrong password, disabled account: one answer for all of them."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is not right.")


class OtpRequired(NotAuthenticated):
    """The password is right; the account also wants a one-time password."""

    code = "otp_required"

    def __init__(self) -> None:
        super().__init__("Send the one-time password of your authenticator as `otp`, or a recovery code.")


class OtpInvalid(NotAuthenticated):
    code = "otp_invalid"

    def __init__(self) -> None:
        super().__init__("The one-time password is not right, has expired, or was used before.")


class TooManyAttempts(TooManyRequests):
    """Locked for a while, whatever the password is."""

    code = "too_many_attempts"

    def __init__(self, *, retry_after_seconds: int) -> None:
        minutes = -(-retry_after_seconds // 60)
        super().__init__(
            f"Too many failed attempts. Try again in {minutes} min.", retry_after_seconds=retry_after_seconds
        )


class RefreshRefused(NotAuthenticated):
    """The refresh token is not valid any more, for whatever reason."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid any more. Log in again.")


class RefreshSuperseded(Conflict):
    """Another request exchanged the same refresh token while this one was under way, and won."""

    code = "refresh_superseded"

    def __init__(self) -> None:
        super().__init__("Another request has just exchanged this refresh token. Use the tokens that it got.")


class PasswordTooWeak(Refused):
    code = "password_too_weak"


class PasswordWrong(Refused):
    """The current password, asked for once more before something sensitive, is not right."""

    code = "password_wrong"

    def __init__(self) -> None:
        super().__init__("The current password is not right.")


class TokenNotValid(Refused):
    """A mailed token is unknown, used or expired."""

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
    """As OtpInvalid, for somebody who is logged in."""

    code = "otp_wrong"

    def __init__(self) -> None:
        super().__init__("The one-time password is not right, has expired, or was used before.")


class RoleNotYours(Forbidden):
    """Staff asked for a change that their role does not cover."""

    code = "role_not_sufficient"


class NotOnYourself(Conflict):
    """Staff may not take away their own access: somebody has to be left who can give it back."""

    code = "not_on_yourself"

    def __init__(self) -> None:
        super().__init__("You cannot change your own roles or disable your own account.")
