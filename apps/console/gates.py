"""What an account still needs before real money may move, as its tokens say it."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.console.session.login import LogIn


@dataclass(frozen=True)
class Gate:
    title: str | Promise
    is_met: bool
    how: str | Promise
    url: str = ""


def gates_of(log_in: LogIn) -> list[Gate]:
    """The gates of the account. The installation's own switch is told by the API when something is asked for."""
    return [
        Gate(
            _("E-mail address confirmed"),
            log_in.is_email_verified,
            _("Open the link of the mail that we sent you, or ask for a new one."),
            reverse("account"),
        ),
        Gate(
            _("Two-factor log-in"),
            log_in.has_second_factor,
            _("Set up an authenticator app or a passkey."),
            reverse("security"),
        ),
        Gate(
            _("Fresh proof of the second factor"),
            log_in.has_second_factor and log_in.stepped_up_seconds > 0,
            _("Asked for when it is needed; it counts for five minutes."),
        ),
    ]
