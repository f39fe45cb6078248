"""The way to the first bot, a step a page."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.console.api_client import keys, onboarding
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.forms.base import ApiForm
from apps.console.forms.onboarding import (
    ExchangeKeyStepForm,
    FirstBotStepForm,
    ProfileStepForm,
    RiskStepForm,
    StepForm,
    TermsStepForm,
)
from apps.console.pages.base import FormPage, redirect_to

FORMS: dict[str, type[StepForm]] = {
    "profile": ProfileStepForm,
    "terms": TermsStepForm,
    "risk_profile": RiskStepForm,
    "exchange_key": ExchangeKeyStepForm,
    "first_bot": FirstBotStepForm,
}
TITLES = {
    "profile": _("About you"),
    "terms": _("Terms"),
    "risk_profile": _("Risk"),
    "exchange_key": _("Account"),
    "first_bot": _("First bot"),
}


class OnboardingPage(FormPage):
    """`/onboarding` leads to the step that is next; each step has an address, so that the back button works."""

    form_class = StepForm
    template_name = "console/onboarding.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        step = kwargs.get("step")
        self._state = onboarding.state(self.api)
        if step is None:
            if self._state.current is None:
                return self.render("console/onboarding_done.html", state=self._state)
            return redirect_to(reverse("onboarding-step", args=[self._state.current]))
        return super().get(request, **kwargs)

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        kind = FORMS.get(kwargs["step"])
        if kind is None:
            raise Http404
        form = kind(data, initial=None if data is not None else self.initial(**kwargs))
        choices = self._choices(kwargs["step"])
        for name in ("credential_id", "bot_id"):
            if name in form.fields:
                form.fields[name].widget.choices = choices
        return form

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        step = next((each for each in self._found.steps if each.name == kwargs["step"]), None)
        given = dict(step.answer) if step and step.answer else {}
        if kwargs["step"] == "terms":
            given["version"] = self._found.terms_version
        return given

    def context(self, **kwargs: Any) -> dict[str, Any]:
        steps = [
            {"name": each.name, "title": TITLES[each.name], "state": each.state, "is_here": each.name == kwargs["step"]}
            for each in self._found.steps
        ]
        return {"steps": steps, "step": kwargs["step"], "title": TITLES[kwargs["step"]], "choices": self._found_choices}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        assert isinstance(form, StepForm)
        onboarding.complete(self.api, kwargs["step"], form.answer(), key=form.key)
        return redirect_to(reverse("onboarding"))

    @property
    def _found(self) -> onboarding.Onboarding:
        if not hasattr(self, "_state"):
            self._state = onboarding.state(self.api)
        return self._state

    def _choices(self, step: str) -> list[tuple[str, str]]:
        self._found_choices: list[tuple[str, str]] = []
        if step == "exchange_key":
            found = keys.listed(self.api).results
            self._found_choices = [(str(key.id), f"{key.label} ({key.mode})") for key in found]
        elif step == "first_bot":
            try:
                rows = self.api.get("bot", {"limit": 100})["results"]
            except (ApiRefused, ApiUnavailable):
                rows = []
            self._found_choices = [(str(bot["id"]), f"{bot['name']} ({bot['mode']})") for bot in rows]
        return self._found_choices
