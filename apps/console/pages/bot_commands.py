"""What can be asked of a bot. The answer is a receipt, which the bot's page shows as it goes on."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.api_client import bots
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.forms.bots import TradeNowForm
from apps.console.pages.base import redirect_to
from apps.console.pages.bot import BotPage
from apps.console.pages.held import ask_for_step_up
from apps.console.texts import sentence_for

# Verb of the page's address: that of the API's.
VERBS = {"start": "start", "pause": "pause", "stop": "stop", "flatten": "flatten", "trade": "trigger-trade"}


class BotCommandPage(BotPage):
    """Only takes POST. What is refused stands on the bot's page, above its buttons or at the form's field."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return redirect_to(reverse("bot", args=[kwargs["bot_id"]]))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        bot_id, verb = kwargs["bot_id"], kwargs.pop("verb")
        if verb not in VERBS:
            raise Http404
        form = TradeNowForm(request.POST) if verb == "trade" else None
        if form and not form.is_valid():
            return self._page(form=form, **kwargs)
        body = form.body() if form else {}
        try:
            bots.command(self.api, bot_id, VERBS[verb], body, key=request.POST.get("idempotency_key", ""))
        except ApiUnavailable:
            text = _("Whether the bot got this is not known: the trading service did not answer. Look at the receipts.")
            return self._page(refusal=text, **kwargs)
        except ApiRefused as refused:
            if refused.status == 404:
                raise
            if _needs_only_a_step_up(refused):
                return ask_for_step_up(request)
            if form and form.take(refused):
                return self._page(form=form, **kwargs)
            gates = refused.details.get("gates", ()) if refused.code == "live_gate_unmet" else ()
            return self._page(refusal=sentence_for(refused), gates=gates, **kwargs)
        return redirect_to(reverse("bot", args=[bot_id]) + "#receipts")

    def _page(
        self, *, form: TradeNowForm | None = None, refusal: str = "", gates: Any = (), **kwargs: Any
    ) -> HttpResponse:
        context = {**self.context(**kwargs), "refusal": refusal, "gates": gates}
        if form is not None:
            context["trade_now"] = form.with_new_key()
        return self.render(**context)


class BotDeletePage(BotPage):
    """Asks first. A bot that holds coins is deleted only with them given up."""

    template_name = "console/bot_delete.html"

    def panels(self, **kwargs: Any) -> dict[str, Any]:
        return {"bot": super().panels(**kwargs)["bot"]}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        abandon = request.POST.get("abandon") == "on"
        try:
            bots.delete(self.api, kwargs["bot_id"], abandon=abandon, key=request.POST.get("idempotency_key", ""))
        except ApiRefused as refused:
            if refused.status == 404:
                raise
            holds = refused.code == "bot_holds_position"
            return self.render(**self.context(**kwargs), refusal=sentence_for(refused), holds=holds)
        messages.success(request, _("The bot is deleted."))
        return redirect_to(reverse("bots"))


def _needs_only_a_step_up(refused: ApiRefused) -> bool:
    """A form of the console can meet that one at once, and send the command after it."""
    gates = refused.details.get("gates", ())
    return refused.code == "live_gate_unmet" and [each.get("gate") for each in gates] == ["step_up"]
