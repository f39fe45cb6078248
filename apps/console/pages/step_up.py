"""A fresh proof of the second factor, in front of what puts money or the account at risk."""

from typing import Any

from django.http.response import HttpResponseBase
from django.urls import reverse

from apps.console.api_client import accounts
from apps.console.forms.accounts import StepUpForm
from apps.console.forms.base import ApiForm
from apps.console.pages import held
from apps.console.pages.base import FormPage, redirect_to
from apps.console.pages.errors import answer_to


class StepUpPage(FormPage):
    form_class = StepUpForm
    template_name = "console/step_up.html"

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        return {"next": self.request.GET.get("next", "")}

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        form = super().make_form(data, **kwargs)
        assert isinstance(form, StepUpForm)
        return form.suit(has_second_factor=self.log_in.has_second_factor)

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"is_held": bool(self.request.POST.get("held"))}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponseBase:
        if not any(form.cleaned_data.get(name) for name in ("otp", "password")) and self.log_in.stepped_up_seconds:
            # By a passkey, a moment ago.
            return self._go_on(form)
        proof = {name: form.cleaned_data[name] for name in ("otp", "password") if form.cleaned_data.get(name)}
        accounts.step_up(self.api, **proof)
        return self._go_on(form)

    def _go_on(self, form: ApiForm) -> HttpResponseBase:
        kept = held.held_in(form.cleaned_data["held"])
        if kept is not None:
            answer = held.go_on(self.request, kept, sends=True, failed=answer_to)
            if answer is not None:
                return answer
        where = form.cleaned_data["next"]
        return redirect_to(where if held.is_ours(where) else reverse("home"))
