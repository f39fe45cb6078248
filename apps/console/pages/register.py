"""Opening an account, and the links of the mails that come with it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.console.api_client import accounts
from apps.console.forms.accounts import ForgotForm, MailedCodeForm, RegisterForm, ResetForm, VerifyForm
from apps.console.forms.base import ApiForm
from apps.console.pages.base import FormPage, Page, redirect_to
from apps.core.identity.access import ANYONE


class RegisterPage(FormPage):
    access = ANYONE
    form_class = RegisterForm
    template_name = "console/register.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.register(self.api, **form.values("email", "password", "name"), key=form.key)
        return self.see_other(
            "log-in", note=_("Your account is open: log in. We have sent you a mail to confirm the address.")
        )


class ForgotPage(FormPage):
    access = ANYONE
    form_class = ForgotForm
    template_name = "console/forgot.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.password_forgot(self.api, **form.values("email"), key=form.key)
        return self.see_other(
            "reset", note=_("If there is an account with this address, a mail with a code is on its way.")
        )


class MailedLinkPage(FormPage):
    """Where a link of a mail leads. Opening it does nothing yet: programs that check mails open links, too."""

    access = ANYONE

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        return {"token": self.request.GET.get("token", "")}


class ResetPage(MailedLinkPage):
    form_class = ResetForm
    template_name = "console/reset.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.password_reset(self.api, **form.values("token", "password"), key=form.key)
        return self.see_other("log-in", note=_("Your new password is set: log in with it. Other sessions have ended."))


class VerifyPage(MailedLinkPage):
    form_class = VerifyForm
    template_name = "console/verify.html"

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        form = super().make_form(data, **kwargs)
        if self.asked.log_in is not None:
            form.fields.pop("password")
        return form

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        password = form.cleaned_data.get("password", "")
        is_same = accounts.email_verify(self.api, token=form.cleaned_data["token"], password=password, key=form.key)
        if not is_same:
            return self.see_other(
                "reset", note=_("The address is yours. Set a password with the code of the next mail.")
            )
        return self.see_other("home" if self.asked.log_in else "log-in", note=_("Your e-mail address is confirmed."))


class EmailConfirmPage(MailedLinkPage):
    form_class = MailedCodeForm
    template_name = "console/email_confirm.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.email_change_confirm(self.api, token=form.cleaned_data["token"], key=form.key)
        name = "account" if self.asked.log_in else "log-in"
        return self.see_other(name, note=_("This is the e-mail address of your account from now on."))


class EmailRevertPage(MailedLinkPage):
    form_class = MailedCodeForm
    template_name = "console/email_revert.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.email_change_revert(self.api, token=form.cleaned_data["token"], key=form.key)
        note = _(
            "The change is taken back, and every session has ended. Set a new password with the code that we mail you."
        )
        return self.see_other("reset", note=note)


class ResendPage(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        accounts.email_resend(self.api, key=request.POST.get("idempotency_key", ""))
        messages.success(request, str(_("A mail with a new link is on its way.")))
        return redirect_to(reverse("account"))
