"""Templates of the mails, plain text. `{link}` is the page of the console that takes the code `{token}`; `{site}` is
where the platform is."""

from typing import Final

from apps.accounts.models import OutgoingMail

# No name in the greeting: anyone can register any address, and would choose text that the platform mails there.
_GREETING = "Hello,\n\n"
_FAREWELL = "\n\nMuckard\n"


def _template(body: str) -> str:
    return _GREETING + body + _FAREWELL


_ACT = "If this was not you, ask for a new password at {site}/app/forgot: that also ends every session."

_LINK_AND_CODE = "\n\n{link}\n\nThe code, for a page that asks for it:\n\n    {token}\n\n"

# kind: the page of the console that takes its code (apps/console/urls/account_urls.py)
PAGES: Final[dict[OutgoingMail.Kind, str]] = {
    OutgoingMail.Kind.VERIFY_EMAIL: "verify",
    OutgoingMail.Kind.ADDRESS_UNPROVEN: "reset",
    OutgoingMail.Kind.CHOOSE_PASSWORD: "reset",
    OutgoingMail.Kind.RESET_PASSWORD: "reset",
    OutgoingMail.Kind.EMAIL_REVERTED: "reset",
    OutgoingMail.Kind.EMAIL_CHANGE_CONFIRM: "email-change/confirm",
    OutgoingMail.Kind.EMAIL_CHANGE_ASKED: "email-change/revert",
    OutgoingMail.Kind.EMAIL_CHANGED: "email-change/revert",
}

# kind: (subject, body)
TEMPLATES: Final[dict[OutgoingMail.Kind, tuple[str, str]]] = {
    OutgoingMail.Kind.VERIFY_EMAIL: (
        "Confirm your e-mail address",
        _template(
            "This address was registered. If it was you, confirm it here:"
            + _LINK_AND_CODE
            + "It works once, until {until}. If it was not you, there is nothing to do. You can also "
            "confirm without a password: the address is then yours, and what another person set up with it is deleted. "
            "Programs send the code to POST /api/v1/auth/email/verify."
        ),
    ),
    OutgoingMail.Kind.ADDRESS_TAKEN: (
        "You already have an account",
        _template(
            "There was an attempt to register with this address on {when}. You already have an account, and nothing "
            "has changed. If it was you and you have forgotten the password, ask for a new one at {site}/app/forgot. "
            "If it was not you, there is nothing to do."
        ),
    ),
    OutgoingMail.Kind.ADDRESS_UNPROVEN: (
        "Confirm that this address is yours",
        _template(
            "This address was registered again on {when}. The earlier registration was never confirmed. "
            "To make it yours, set a new password here:"
            + _LINK_AND_CODE
            + "It works once, until {until}. What was set up with "
            "this address before is then gone. If it was not you, there is nothing to do."
        ),
    ),
    OutgoingMail.Kind.CHOOSE_PASSWORD: (
        "Choose a password",
        _template(
            "You confirmed on {when} that this address is yours. Another person may have registered it before, so you "
            "have a new account without anything that was set up before. Choose its password here:"
            + _LINK_AND_CODE
            + "It works once, until {until}."
        ),
    ),
    OutgoingMail.Kind.RESET_PASSWORD: (
        "A new password",
        _template(
            "We received a request on {when} for a new password for your account. Set it here:"
            + _LINK_AND_CODE
            + "It works once, until {until}. If it was not you, "
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
    OutgoingMail.Kind.EMAIL_CHANGE_CONFIRM: (
        "Confirm your new e-mail address",
        _template(
            "An account is to have this e-mail address from now on; it was asked for on {when}. If it was you, "
            "confirm it here:" + _LINK_AND_CODE + "It works once, until {until}. "
            "If it was not you, there is nothing to do."
        ),
    ),
    OutgoingMail.Kind.EMAIL_CHANGE_ASKED: (
        "Your e-mail address is to be changed",
        _template(
            "We received a request on {when} to change the e-mail address of your account. The new address has to "
            "confirm it. If it was you, there is nothing to do. If it was not you, stop it here:"
            + _LINK_AND_CODE
            + "It works once, until {until}. It stops the "
            "change, ends every session and makes the password void: we then mail you a code for a new one."
        ),
    ),
    OutgoingMail.Kind.EMAIL_CHANGED: (
        "Your e-mail address was changed",
        _template(
            "Your account has another e-mail address since {when}. If it was you, there is nothing to do. If it was "
            "not you, take it back here:" + _LINK_AND_CODE + "It works once, until "
            "{until}. It brings this address back, ends every session and makes the password void: we then mail "
            "you a code for a new one."
        ),
    ),
    OutgoingMail.Kind.EMAIL_REVERTED: (
        "Your e-mail address is as before",
        _template(
            "The change of your e-mail address was taken back on {when}. Every session has ended and the password no "
            "longer works. Set a new one here:" + _LINK_AND_CODE + "It works once, until {until}."
        ),
    ),
    OutgoingMail.Kind.ADDRESS_RESERVED: (
        "This address is reserved",
        _template(
            "We received a request on {when} to use this address for an account. An account that had it was given "
            "another address, and this one can take that back until {until}: with the code of the mail "
            '"Your e-mail address was changed". Until then no other account gets it. If it was you, try again after '
            "that time. If it was not you, there is nothing to do."
        ),
    ),
    OutgoingMail.Kind.NEW_DEVICE: (
        "A log-in from a new device",
        _template(
            "On {when} your account was logged in to from a device and a network that it had not been used from "
            "lately. If it was you, there is nothing to do. " + _ACT
        ),
    ),
    OutgoingMail.Kind.LOG_INS_FAILED: (
        "Many failed log-ins",
        _template(
            "There were many failed log-ins to your account, up to {when}. None of them succeeded, and you are "
            "told of it at most once a day. If it was you and you have forgotten the password, ask for a new one with "
            "{site}/app/forgot. If it was not you, make sure that two-factor log-in is on."
        ),
    ),
    OutgoingMail.Kind.EXCHANGE_KEY_CHANGED: (
        "An exchange key of your account was changed",
        _template(
            "An exchange key was connected to your account, replaced or removed, on {when} or shortly before. "
            "{site}/app/keys lists the keys. If it was you, there is nothing to do. " + _ACT
        ),
    ),
    OutgoingMail.Kind.MACHINE_KEY_CHANGED: (
        "A machine key of your account",
        _template(
            "A machine key was made for your account, or one was used from a network that is new for it, on {when} or "
            "shortly before. {site}/app/security/machine-keys lists the keys with their last use. If it was you, there "
            "is nothing to do. " + _ACT
        ),
    ),
    OutgoingMail.Kind.LIVE_BOT_CREATED: (
        "A bot that trades with real money",
        _template(
            "A bot in live mode was created in your account, on {when} or shortly before. It trades with real money "
            "once it is started. {site}/app/bots lists your bots. If it was you, there is nothing to do. " + _ACT
        ),
    ),
    OutgoingMail.Kind.CLOSURE_ASKED: (
        "Your account is being closed",
        _template(
            "The closure of your account was asked for on {when}. Nobody can log in to it any more, its bots send no "
            "order, and its personal data was erased. We now stop the bots and destroy the exchange keys, and mail "
            "you once more when that is done. If it was not you, answer our support at once."
        ),
    ),
    OutgoingMail.Kind.CLOSURE_DONE: (
        "Your account was closed",
        _template(
            "The closure of your account was completed on {when}. Its bots are deleted and its exchange keys "
            "destroyed. Records of trades are kept under a number alone, as the law demands. With this mail we erase "
            "your address."
        ),
    ),
    OutgoingMail.Kind.MFA_REMOVAL_ASKED: (
        "Your second factor is to be removed",
        _template(
            "Our staff were asked on {when} to remove the second factor of your account because it is lost. A second "
            "person checks that within 24 hours. If it was not you, answer our support at once. " + _ACT
        ),
    ),
    OutgoingMail.Kind.MFA_REMOVED: (
        "Your second factor was removed",
        _template(
            "Two members of our staff removed the second factor of your account on {when}, because it was reported "
            "lost. Every session has ended: log in with your password and set up a new one. " + _ACT
        ),
    ),
    OutgoingMail.Kind.SESSION_REVOKED: (
        "A session of yours was ended",
        _template(
            "On {when} a refresh token of one of your sessions was used for a second time. Another person may have a "
            "copy of it, so we ended that session: log in again. " + _ACT
        ),
    ),
    OutgoingMail.Kind.PASSKEY_ADDED: (
        "A passkey was added",
        _template("A passkey was added to your account on {when}. Whoever holds it can log in with it. " + _ACT),
    ),
    OutgoingMail.Kind.PASSKEY_REMOVED: (
        "A passkey was removed",
        _template("A passkey was removed from your account on {when}. " + _ACT),
    ),
    OutgoingMail.Kind.PASSKEY_COPIED: (
        "One of your passkeys may have been copied",
        _template(
            "On {when} one of your passkeys was refused: its counter went backwards, as it does where a copy of it "
            "exists. Remove it from your account and add a new one. " + _ACT
        ),
    ),
}
