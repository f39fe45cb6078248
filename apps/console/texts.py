"""Sentences for refusals of the API, in the language of the page; the API's own sentence where there is none."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.api_client.base import ApiRefused

SENTENCES: dict[str, Promise | str] = {
    "invalid_credentials": gettext_lazy("This e-mail address and password do not belong together."),
    "otp_required": gettext_lazy("Enter the code of your authenticator."),
    "otp_invalid": gettext_lazy("This code is wrong, expired or was used before."),
    "otp_wrong": gettext_lazy("This code is wrong, expired or was used before."),
}


def sentence_for(refused: ApiRefused) -> str:
    if refused.code == "too_many_attempts":
        minutes = -(-(refused.retry_after or 60) // 60)
        return _("Too many attempts. Try again in %(minutes)s min.") % {"minutes": minutes}
    if refused.code == "live_gate_unmet":
        gates = refused.details.get("gates") or []
        unmet = [str(gate.get("how_to_meet", "")) for gate in gates if not gate.get("is_met", gate.get("met"))]
        return " ".join([refused.message, *filter(None, unmet)])
    known = SENTENCES.get(refused.code)
    return str(known) if known else refused.message
