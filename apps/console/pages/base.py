"""What pages share: who may see them, how they are rendered, and forms that the API checks."""

from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.views import View

from apps.console.api_client.base import Api, ApiRefused
from apps.console.forms.base import ApiForm
from apps.console.pages.held import log_in_again
from apps.console.requests import ConsoleRequest, console_request
from apps.console.session.login import LogIn
from apps.core.identity.access import ANYONE, USERS, Access

SEE_OTHER = 303


class Page(View):
    """A page for people who are logged in; `access = ANYONE` opens it to all. The API says who may do what."""

    access: ClassVar[Access] = USERS
    template_name: ClassVar[str] = ""
    # Whether it shows a form again as it was filled in before a log-in (`asked.draft`)
    takes_draft: ClassVar[bool] = False
    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.access is not ANYONE and self.asked.log_in is None:
            return log_in_again(request)
        return super().dispatch(request, *args, **kwargs)

    @property
    def asked(self) -> ConsoleRequest:
        return console_request(self.request)

    @property
    def api(self) -> Api:
        return self.asked.api

    @property
    def log_in(self) -> LogIn:
        """Of pages that only people who are logged in see."""
        assert self.asked.log_in is not None
        return self.asked.log_in

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.render(**self.context(**kwargs))

    def context(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What the template shows; `kwargs` are the parameters of the address."""
        return {}

    def render(self, template_name: str = "", status: int = 200, **context: Any) -> HttpResponse:
        return render(self.request, template_name or self.template_name, context, status=status)

    def see_other(self, name: str, *args: Any, note: str | Promise = "") -> HttpResponse:
        """On to the page `name` by GET, with a note on it: loading that page again sends nothing twice."""
        if note:
            messages.success(self.request, str(note))
        return redirect_to(reverse(name, args=args))


class FormPage(Page):
    """A page with one form, which the API checks: what it refuses stands at the field, with what was typed."""

    form_class: ClassVar[type[ApiForm]]
    takes_draft = True

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        """What the form shows first."""
        return {}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponseBase:
        """Makes the call and says where to go on. Raises ApiRefused, which is shown on the form."""
        raise NotImplementedError

    def make_form(self, data: Any = None, **kwargs: Any) -> ApiForm:
        return self.form_class(data, initial=None if data is not None else self.initial(**kwargs))

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.make_form(self.asked.draft, **kwargs)
        return self.render(form=form, is_draft=self.asked.draft is not None, **self.context(**kwargs))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        form = self.make_form(request.POST, **kwargs)
        if form.is_valid():
            try:
                return self.send(form, **kwargs)
            except ApiRefused as refused:
                if not form.take(refused):
                    raise
        return self.render(form=form.with_new_key(), **self.context(**kwargs))


def redirect_to(url: str) -> HttpResponse:
    """By GET, whatever the method was."""
    return HttpResponse(status=SEE_OTHER, headers={"Location": url})
