"""What events of the account's log say, in words."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.console.api_client.activity import Entry

_TEXTS: dict[str, str | Promise] = {
    "user.created": _("Account opened"),
    "user.logged_in": _("Logged in"),
    "user.logged_out": _("Logged out"),
    "user.session_ended": _("Session ended"),
    "user.log_in_failed": _("Log-in failed"),
    "user.locked_out": _("Log-in locked"),
    "user.stepped_up": _("Second factor confirmed"),
    "user.step_up_failed": _("Second factor refused"),
    "user.recovery_code_used": _("Recovery code used"),
    "user.mfa.enabled": _("Two-factor log-in switched on"),
    "user.mfa.disabled": _("Two-factor log-in switched off"),
    "user.passkey.added": _("Passkey added"),
    "user.passkey.removed": _("Passkey removed"),
    "user.passkey.renamed": _("Passkey renamed"),
    "user.password_changed": _("Password changed"),
    "user.updated": _("Profile changed"),
    "user.email.verified": _("E-mail address confirmed"),
    "user.email.change_requested": _("Change of the e-mail address asked for"),
    "user.email.changed": _("E-mail address changed"),
    "user.email.reverted": _("Change of the e-mail address taken back"),
    "user.api_key.created": _("Machine key made"),
    "user.api_key.revoked": _("Machine key revoked"),
    "user.api_key.used_from_new_address": _("Machine key used from a new address"),
    "user.data_exported": _("Data exported"),
    "onboarding.step_completed": _("Step of the introduction done"),
    "onboarding.completed": _("Introduction done"),
    "kraken.key.connected": _("Exchange key connected"),
    "kraken.key.updated": _("Exchange key changed"),
    "kraken.key.disconnected": _("Exchange key disconnected"),
    "kraken.key.checked": _("Exchange key checked"),
    "kraken.key.test.failed": _("Test of an exchange key failed"),
    "bot.created": _("Bot created"),
    "bot.changed": _("Bot changed"),
    "bot.deleted": _("Bot deleted"),
    "bot.start": _("Start asked for"),
    "bot.stop": _("Stop asked for"),
    "bot.started": _("Bot started"),
    "bot.stopped": _("Bot stopped"),
    "bot.trigger_trade": _("Trade asked for"),
    "trade.executed": _("Trade executed"),
    "risk.caps.changed": _("Caps changed"),
}


def described(entry: Entry) -> str:
    """The sentence for an event; its own name where there is none."""
    known = _TEXTS.get(entry.type)
    if known:
        return str(known)
    words = entry.type.replace(".", " ").replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]
