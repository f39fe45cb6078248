"""The account: profile, address, password, closure, export; language of the pages."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from apps.console.api_client import accounts
from apps.console.api_client.base import ApiRefused
from apps.console.forms.accounts import CloseForm, ConfirmForm, EmailForm, PasswordForm, ProfileForm
from apps.console.forms.base import ApiForm
from apps.console.pages import held
from apps.console.pages.base import FormPage, Page, redirect_to
from apps.core.identity.access import ANYONE

# An archive of everything may take minutes to make.
_EXPORT_SECONDS = 590.0


class AccountPage(FormPage):
    form_class = ProfileForm
    template_name = "console/account/profile.html"

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        self._me = accounts.me(self.api)
        return {"name": self._me.name, "time_zone": self._me.time_zone}

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"me": getattr(self, "_me", None) or accounts.me(self.api), "zones": ProfileForm.zones()}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.change_profile(self.api, **form.values("name", "time_zone"), key=form.key)
        return self.see_other("account", note=_("Saved."))


class EmailPage(FormPage):
    """Change of the address: with the password, or, where two-factor log-in is on, with a step-up."""

    form_class = EmailForm
    template_name = "console/account/email.html"

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        form = super().make_form(data, **kwargs)
        if self.log_in.has_second_factor:
            form.fields.pop("password")
        return form

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        given = form.cleaned_data
        accounts.email_change(self.api, email=given["email"], password=given.get("password", ""), key=form.key)
        return self.see_other(
            "account", note=_("We have sent a mail to the new address: the link in it makes the change.")
        )


class PasswordPage(FormPage):
    form_class = PasswordForm
    template_name = "console/account/password.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        accounts.password_change(self.api, **form.values("current_password", "new_password"), key=form.key)
        return self.see_other("security", note=_("Your password is changed. Your other sessions have ended."))


class ClosePage(FormPage):
    form_class = CloseForm
    template_name = "console/account/close.html"

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.make_form(request.POST)
        barred: Any = None
        if form.is_valid():
            try:
                return self.send(form)
            except ApiRefused as refused:
                if not form.take(refused):
                    raise
                barred = refused.details if refused.code == "closure_barred" else None
        return self.render(form=form.with_new_key(), barred=barred)

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        closure = accounts.close(self.api, abandon=form.cleaned_data["abandon"], key=form.key)
        self.log_in.is_ended = self.log_in.is_changed = True
        self.asked.log_in, ended = None, self.log_in
        answer = self.render("console/account/closed.html", closure=closure, log_in=None)
        self.asked.log_in = ended
        return answer


class ExportPage(FormPage):
    """Everything that the platform holds of the account, as an archive. It is made before its first byte comes."""

    form_class = ConfirmForm
    template_name = "console/account/export.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        chunks = self._archive()
        # The first chunk comes before the headers, so that a refusal is a page and no broken file.
        first = next(chunks)
        headers = {"Content-Disposition": 'attachment; filename="muckard-export.zip"'}
        answer: Any = StreamingHttpResponse(_joined(first, chunks), content_type="application/zip", headers=headers)
        return answer  # type: ignore[no-any-return]

    def _archive(self) -> Iterator[bytes]:
        with self.api.stream("user/me/export", read_seconds=_EXPORT_SECONDS) as answer:
            yield from answer.iter_bytes()


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class LanguagePage(Page):
    """Keeps the language of the pages in a cookie."""

    access = ANYONE
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponseBase:
        chosen, where = request.POST.get("language", ""), request.POST.get("next", "")
        answer = redirect_to(where if held.is_ours(where) else "/app/")
        if chosen in dict(settings.LANGUAGES):
            answer.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                chosen,
                max_age=settings.LANGUAGE_COOKIE_AGE,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return answer
