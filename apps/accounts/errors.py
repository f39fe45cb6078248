"""Expected failures of accounts. None of them reveals whether an address has an account."""

from datetime import datetime
from typing import Any

from apps.core.errors import Conflict, Forbidden, NotAuthenticated, NotFound, Refused, TooManyRequests


class InvalidCredentials(NotAuthenticated):
    """Unknown address, wrong password or disabled account: one response for all three."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is not right.")


class OtpRequired(NotAuthenticated):
    """The password is correct; the account also requires a one-time password."""

    code = "otp_required"

    def __init__(self) -> None:
        super().__init__(
            "Send the one-time password of your authenticator as `otp`, or a recovery code, or log in with a passkey."
        )


class OtpInvalid(NotAuthenticated):
    code = "otp_invalid"

    def __init__(self) -> None:
        super().__init__("The one-time password is not right, has expired, or was used before.")


class TooManyAttempts(TooManyRequests):
    """Lockout: refused until `retry_after_seconds` have passed, even with the correct password."""

    code = "too_many_attempts"

    def __init__(self, *, locked_until: datetime, retry_after_seconds: int) -> None:
        minutes = -(-retry_after_seconds // 60)
        super().__init__(
            f"Too many failed attempts. Try again in {minutes} min, at {locked_until:%H:%M} UTC.",
            retry_after_seconds=retry_after_seconds,
            locked_until=locked_until.isoformat(),
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


class PasswordNotOfAccount(Refused):
    """The password that came with a code is not the one that was set at registration."""

    code = "password_wrong"

    def __init__(self) -> None:
        super().__init__(
            "The password is not the one that this address was registered with. If you did not register it, leave the "
            "password out: you then get an account of your own, without anything that was set up before."
        )


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


class MfaRemovalOpen(Conflict):
    code = "mfa_removal_open"

    def __init__(self) -> None:
        super().__init__("A removal has been asked for already, and waits for the consent of an admin.")


class MfaRemovalOver(Conflict):
    code = "mfa_removal_over"

    def __init__(self) -> None:
        super().__init__("This request is done, or older than 24 hours. Ask again.")


class TwoPersonsNeeded(Forbidden):
    """The person who asked, or whose account it is, cannot consent."""

    code = "two_persons_needed"

    def __init__(self) -> None:
        super().__init__("This takes two members of staff, and neither may be the owner of the account.")


class StepUpNeedsMfa(Forbidden):
    """A step-up proves a second factor, and the account has none."""

    code = "mfa_required"

    def __init__(self) -> None:
        super().__init__(
            "A step-up with a one-time password needs an authenticator, which this account does not have. Set it up "
            "with POST /api/v1/auth/mfa/setup and /auth/mfa/confirm."
        )


class StepUpNeedsSecondFactor(Forbidden):
    """The account has a second factor: the password alone is no step-up."""

    code = "second_factor_required"

    def __init__(self) -> None:
        super().__init__("This account has two-factor log-in: step up with a one-time password or with a passkey.")


class StepUpRequired(Forbidden):
    """The call needs a fresh proof that the account's owner is there."""

    code = "step_up_required"

    def __init__(self) -> None:
        super().__init__(
            "Prove now that it is you: POST /api/v1/auth/step-up with a one-time password, a passkey, or, where "
            "two-factor log-in is off, the password. Then repeat the call with the access token of the answer within "
            "five minutes."
        )


class PasskeyRefused(NotAuthenticated):
    """The answer of the authenticator does not prove what it must. One error for every reason."""

    code = "passkey_refused"

    def __init__(self) -> None:
        super().__init__(
            "This passkey was not accepted: it is unknown, belongs to another account or site, or its challenge was "
            "answered before or is older than five minutes. Ask for new options and try again."
        )


class PasskeysUnavailable(Refused):
    """Browsers take no passkey for the platform's public address."""

    code = "passkeys_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Passkeys are not available at this platform's address. {reason} An operator sets MUCKARD_PUBLIC_URL to "
            "an address with HTTPS and a host name."
        )


class PasskeyAlreadyRegistered(Conflict):
    code = "passkey_already_registered"

    def __init__(self) -> None:
        super().__init__("This passkey is registered already.")


class TooManyPasskeys(Conflict):
    code = "too_many_passkeys"

    def __init__(self, limit: int) -> None:
        super().__init__(f"An account has at most {limit} passkeys. Remove one first.", limit=limit)


class LastSecondFactor(Conflict):
    """Without it two-factor log-in would be off."""

    code = "last_second_factor"

    def __init__(self) -> None:
        super().__init__(
            "This passkey is your only second factor. Add another one first, or switch two-factor log-in off with "
            "POST /api/v1/auth/mfa/disable."
        )


class EmailIsTheSame(Refused):
    code = "email_is_the_same"

    def __init__(self) -> None:
        super().__init__("Your account has this e-mail address already.")


class EmailTaken(Conflict):
    """Told only to a caller who reads the mail of that address."""

    code = "email_taken"

    def __init__(self) -> None:
        super().__init__(
            "This address belongs to another account, or is reserved for one that can take it back. "
            "Nothing was changed."
        )


class EmailNotVerified(Forbidden):
    """The call needs a verified e-mail address."""

    code = "email_not_verified"

    def __init__(self) -> None:
        super().__init__(
            "This needs a verified e-mail address. Send the code that was mailed at registration to "
            "POST /api/v1/auth/email/verify with this access token; POST /api/v1/auth/email/resend mails a new one.",
            how_to_meet="POST /api/v1/auth/email/verify",
        )


class RoleNotYours(Forbidden):
    """The staff member's role does not allow the change."""

    code = "role_not_sufficient"


class NotOnYourself(Conflict):
    """Staff cannot remove their own access: at least one admin must remain who can restore it."""

    code = "not_on_yourself"

    def __init__(self) -> None:
        super().__init__("You cannot change your own roles or disable your own account.")


class ClosureBarred(Conflict):
    """Bots hold coins or have orders that have not ended. `details.bots` lists them."""

    code = "closure_barred"

    def __init__(self, bots: list[dict[str, Any]]) -> None:
        names = ", ".join(str(bot.get("name", "")) for bot in bots[:5])
        super().__init__(
            f"Bots hold coins or have open orders ({names}). Flatten or stop them first; or close the account with "
            "?abandon=true: open orders are cancelled, and the coins stay in your exchange account.",
            bots=bots,
        )


class StaffCannotClose(Conflict):
    """At least one admin must remain: staff accounts are ended by another admin."""

    code = "staff_account"

    def __init__(self) -> None:
        super().__init__("This account has a staff role. Another admin takes it away first.")


class AccountIsClosed(Conflict):
    """A closed account has no owner any more: nothing of it can change."""

    code = "account_closed"

    def __init__(self) -> None:
        super().__init__("This account is closed for good.")


class TooManyMachineKeys(Conflict):
    code = "too_many_machine_keys"

    def __init__(self, *, most: int) -> None:
        super().__init__(f"You have {most} machine keys, the most that an account may have. Revoke one.", most=most)


class MachineKeyExpired(Refused):
    """`expires_at` of a new key is no time to come."""

    code = "expires_in_the_past"

    def __init__(self) -> None:
        super().__init__("`expires_at` must be in the future.")


class ExportBusy(TooManyRequests):
    """Several exports are being made, and each takes the service a while."""

    code = "export_busy"

    def __init__(self) -> None:
        super().__init__("Other exports are being made. Try again in half a minute.", retry_after_seconds=30)


class NoticeUnknown(NotFound):
    code = "security_notice_unknown"

    def __init__(self) -> None:
        super().__init__("There is no such security notice.")


class NoticeAlreadyAcknowledged(Conflict):
    code = "security_notice_acknowledged"

    def __init__(self) -> None:
        super().__init__("This notice has been acknowledged already.")
