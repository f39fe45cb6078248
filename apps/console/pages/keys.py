"""Exchange keys: what each is and may do, and what still bars live trading."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.console.api_client import keys
from apps.console.api_client.base import ApiUnavailable
from apps.console.forms.base import ApiForm
from apps.console.forms.keys import DisconnectForm, KeyPairForm, LiveKeyForm, PaperKeyForm, RenameKeyForm
from apps.console.gates import gates_of
from apps.console.pages.base import FormPage, Page


class KeysPage(Page):
    template_name = "console/keys/list.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        page = keys.listed(self.api, self.request.GET.get("cursor"))
        return {"page": page, "gates": gates_of(self.log_in)}


class PaperKeyPage(FormPage):
    form_class = PaperKeyForm
    template_name = "console/keys/paper.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        made = keys.connect(
            self.api, label=form.cleaned_data["label"], mode="paper", api_key="", api_secret="", key=form.key
        )
        if self.request.GET.get("then") == "onboarding":
            return self.see_other("onboarding", note=_("Your paper account is open."))
        return self.see_other("key", made.id, note=_("Your paper account is open."))


class LiveKeyPage(FormPage):
    form_class = LiveKeyForm
    template_name = "console/keys/live.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"gates": gates_of(self.log_in)}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        made = keys.connect(self.api, mode="live", **form.values("label", "api_key", "api_secret"), key=form.key)
        return self.see_other("key", made.id, note=_("The key is connected."))


class KeyPage(Page):
    template_name = "console/keys/one.html"

    def context(self, key_id: UUID, **kwargs: Any) -> dict[str, Any]:
        found = keys.one(self.api, key_id)
        return {"key": found, "rename": RenameKeyForm(initial={"label": found.label}), "disconnect": DisconnectForm()}


class KeyBalancesPage(Page):
    """A part of the key's page: it waits for the exchange, and comes after the rest."""

    template_name = "console/keys/balances.html"

    def context(self, key_id: UUID, **kwargs: Any) -> dict[str, Any]:
        try:
            return {"found": keys.balances(self.api, key_id)}
        except ApiUnavailable:
            return {"found": None}


class KeyRenamePage(FormPage):
    form_class = RenameKeyForm
    template_name = "console/keys/one.html"

    def context(self, key_id: UUID, **kwargs: Any) -> dict[str, Any]:
        return {"key": keys.one(self.api, key_id), "disconnect": DisconnectForm()}

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        return RenameKeyForm(data)

    def render(self, template_name: str = "", status: int = 200, **context: Any) -> HttpResponse:
        return super().render(template_name, status, rename=context.pop("form"), **context)

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        keys.rename(self.api, kwargs["key_id"], label=form.cleaned_data["label"], key=form.key)
        return self.see_other("key", kwargs["key_id"], note=_("Saved."))


class KeyTestPage(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        keys.test(self.api, key_id, key=request.POST.get("idempotency_key", ""))
        return self.see_other("key", key_id, note=_("The exchange has answered: the key is as shown here."))


class KeyRotatePage(FormPage):
    form_class = KeyPairForm
    template_name = "console/keys/rotate.html"

    def context(self, key_id: UUID, **kwargs: Any) -> dict[str, Any]:
        return {"key": keys.one(self.api, key_id), "gates": gates_of(self.log_in)}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        keys.rotate(self.api, kwargs["key_id"], **form.values("api_key", "api_secret"), key=form.key)
        return self.see_other(
            "key", kwargs["key_id"], note=_("The key is replaced. Delete the old one at the exchange.")
        )


class KeyDisconnectPage(FormPage):
    form_class = DisconnectForm
    template_name = "console/keys/disconnect.html"

    def context(self, key_id: UUID, **kwargs: Any) -> dict[str, Any]:
        return {"key": keys.one(self.api, key_id)}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        keys.disconnect(self.api, kwargs["key_id"], abandon=form.cleaned_data["abandon"], key=form.key)
        return self.see_other(
            "keys", note=_("The key is disconnected and its secret destroyed. Revoke it at the exchange, too.")
        )
