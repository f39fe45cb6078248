"""Forms of a bot: a new one, a change, a clone. The strategy's schema makes its fields."""

from typing import Any, ClassVar

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.api_client import bots, market, strategies
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.forms.bots import BotForm
from apps.console.pages.base import Page
from apps.console.pages.panels import Panel, load
from apps.console.words import word


class StrategiesPage(Page):
    """Which strategy the new bot is to follow: what each does, and when it loses."""

    template_name: ClassVar[str] = "console/strategies.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"strategies": strategies.strategies(self.api)}


class _BotFormPage(Page):
    template_name: ClassVar[str] = "console/bot_form.html"
    takes_draft = True
    # Fields that this page shows and does not change
    fixed: ClassVar[tuple[str, ...]] = ()

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self._page(self.asked.draft, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form, context = self._form(request.POST, **kwargs)
        if form.is_valid():
            try:
                made = self.send(form, **kwargs)
            except ApiRefused as refused:
                if not form.take(refused):
                    raise
                context["is_outdated"] = refused.code == "bot_changed_meanwhile"
            except ApiUnavailable:
                # What was typed stays, and so does the key: sending it again does it once.
                form.add_error(None, _("The trading service did not answer. Send the form again: it does no harm."))
                return self.render(form=form, **context)
            else:
                return self.see_other("bot", made.id, note=self.note)
        return self.render(form=form.with_new_key(), **context)

    note: ClassVar[str | Promise] = ""

    def send(self, form: BotForm, **kwargs: Any) -> bots.Bot:
        raise NotImplementedError

    def strategy_name(self, bot: bots.Bot | None, **kwargs: Any) -> str:
        assert bot is not None
        return bot.strategy

    def _page(self, data: Any, **kwargs: Any) -> HttpResponse:
        form, context = self._form(data, **kwargs)
        return self.render(form=form, is_draft=data is not None, **context)

    def _form(self, data: Any, **kwargs: Any) -> tuple[BotForm, dict[str, Any]]:
        calls: dict[str, Any] = {"strategies": strategies.strategies, "keys": bots.keys, "pairs": market.pairs}
        if bot_id := kwargs.get("bot_id"):
            calls["bot"] = lambda api: bots.bot(api, bot_id)
        found = {name: _needed(panel) for name, panel in load(self.api, calls).items()}
        bot = found.get("bot")
        name = self.strategy_name(bot, **kwargs)
        strategy = next((each for each in found["strategies"] if each.name == name), None)
        if strategy is None:
            raise Http404
        form = BotForm(
            data,
            strategy=strategy,
            keys=[(str(key.id), f"{key.label} · {word('mode', key.mode)}") for key in found["keys"]],
            pairs=[(pair.pair, f"{pair.base}/{pair.quote}") for pair in found["pairs"]],
            bot=bot,
            fixed=self.fixed,
            initial=self.initial(bot),
        )
        return form, {"strategy": strategy, "bot": bot, "has_keys": bool(found["keys"])}

    def initial(self, bot: bots.Bot | None) -> dict[str, Any]:
        return {}


class NewBotPage(_BotFormPage):
    note = gettext_lazy("The bot is there. It does nothing until it is started.")

    def strategy_name(self, bot: bots.Bot | None, **kwargs: Any) -> str:
        return str(kwargs["strategy"])

    def send(self, form: BotForm, **kwargs: Any) -> bots.Bot:
        return bots.create(self.api, form.definition(), key=form.key)


class EditBotPage(_BotFormPage):
    note = gettext_lazy("Changed. A run that is under way goes on as it was started.")

    def send(self, form: BotForm, **kwargs: Any) -> bots.Bot:
        version = self.request.POST.get("version", "")
        body = {**form.definition(), **({"version": int(version)} if version.isdigit() else {})}
        return bots.change(self.api, kwargs["bot_id"], body, key=form.key)


class CloneBotPage(_BotFormPage):
    note = NewBotPage.note

    def initial(self, bot: bots.Bot | None) -> dict[str, Any]:
        return {"name": _("%(name)s (copy)") % {"name": bot.name[:70]}} if bot else {}

    def send(self, form: BotForm, **kwargs: Any) -> bots.Bot:
        return bots.clone(self.api, kwargs["bot_id"], form.definition(), key=form.key)


def _needed(panel: Panel[Any]) -> Any:
    """Raises ApiRefused and ApiUnavailable: without all of these there is no form."""
    value = panel.needed()
    if value is None:
        raise ApiUnavailable("kraken")
    return value
