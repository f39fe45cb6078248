"""Templates of the mails, plain text. `{token}` is the token that the recipient sends to the API."""

from typing import Final

from apps.accounts.models import OutgoingMail

# No name in the greeting: anyone can register any address, and would choose text that the platform mails there.
_GREETING = "Hello,\n\n"
_FAREWELL = "\n\nMuckard\n"


def _template(body: str) -> str:
    return _GREETING + body + _FAREWELL


_ACT = (
    "If this was not you, ask for a new password with POST /api/v1/auth/password/forgot: that also ends every session."
)

# kind: (subject, body)
TEMPLATES: Final[dict[OutgoingMail.Kind, tuple[str, str]]] = {
    OutgoingMail.Kind.VERIFY_EMAIL: (
        "Confirm your e-mail address",
        _template(
            "Welcome. To confirm that this address is yours, send this code to POST /api/v1/auth/email/verify:\n\n"
            "    {token}\n\nIt works once, until {until}."
        ),
    ),
    OutgoingMail.Kind.ADDRESS_TAKEN: (
        "You already have an account",
        _template(
            "Somebody tried to register with this address on {when}. You already have an account, and nothing has "
            "changed. If it was you and you have forgotten the password, ask for a new one with "
            "POST /api/v1/auth/password/forgot. If it was not you, there is nothing to do."
        ),
    ),
    OutgoingMail.Kind.RESET_PASSWORD: (
        "A new password",
        _template(
            "Somebody asked on {when} for a new password for your account. To set one, send this code with it to "
            "POST /api/v1/auth/password/reset:\n\n    {token}\n\nIt works once, until {until}. If it was not you, "
            "there is nothing to do: your password stays as it is."
        ),
    ),
    OutgoingMail.Kind.PASSWORD_CHANGED: (
        "Your password was changed",
        _template("The password of your account was changed on {when}, and your other sessions were ended. " + _ACT),
    ),
    OutgoingMail.Kind.MFA_ENABLED: (
        "Two-factor log-in is on",
        _template("Two-factor log-in was switched on for your account on {when}. " + _ACT),
    ),
    OutgoingMail.Kind.MFA_DISABLED: (
        "Two-factor log-in is off",
        _template("Two-factor log-in was switched off for your account on {when}. " + _ACT),
    ),
    OutgoingMail.Kind.SESSION_REVOKED: (
        "A session of yours was ended",
        _template(
            "On {when} a refresh token of one of your sessions was used for a second time. Somebody else may have a "
            "copy of it, so we ended that session: log in again. " + _ACT
        ),
    ),
}
