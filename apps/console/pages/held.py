"""A form that was sent without a log-in, or without a proof that it needs: kept in the page that asks for it.

What was typed travels encrypted in a hidden field and comes back with the log-in. Nothing was sent to the API until
then, and nothing of it is kept here.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from apps.console.forms.accounts import LogInForm, StepUpForm
from apps.console.requests import console_request
from apps.console.session.sealed import seal, unseal

KEPT_SECONDS = 3600.0
_PURPOSE = "held form"


@dataclass(frozen=True)
class HeldForm:
    """A request to be made again. `page`: where the form stood, for an address that only takes POST."""

    path: str
    body: str
    page: str

    def sealed(self) -> str:
        return seal([self.path, self.body, self.page], purpose=_PURPOSE)


def held_of(request: HttpRequest) -> HeldForm:
    referer = urlsplit(request.headers.get("Referer", ""))
    page = referer.path if referer.netloc == request.get_host() and is_ours(referer.path) else reverse("home")
    body = request.POST.copy()
    body.pop("csrfmiddlewaretoken", None)
    return HeldForm(request.get_full_path(), body.urlencode(), page)


def held_in(sealed: str) -> HeldForm | None:
    value = unseal(sealed, purpose=_PURPOSE, max_age_seconds=KEPT_SECONDS) if sealed else None
    return HeldForm(*value) if value else None


def is_ours(path: str) -> bool:
    """Whether this is a page of the console, and not a way to another host."""
    return path.startswith(("/app/", "/app?")) and url_has_allowed_host_and_scheme(path, allowed_hosts=None)


def log_in_again(request: HttpRequest) -> HttpResponse:
    """The way to the log-in for a request without one. A form stands there again afterwards, as it was filled in."""
    asked = console_request(request)
    had_session = asked.log_in is not None
    if asked.log_in:
        asked.log_in.is_ended = asked.log_in.is_changed = True
    if asked.htmx and request.method == "GET":
        # The page stays as it is and says that it is logged out.
        return HttpResponse(status=401, headers={"HX-Trigger": "console:logged-out", "HX-Reswap": "none"})
    if request.method == "POST":
        form = LogInForm(
            initial={"held": held_of(request).sealed(), "email": asked.log_in.email if asked.log_in else ""}
        )
        return render(request, "console/log_in.html", {"form": form, "is_held": True, "log_in": None, "navigation": []})
    where = {"next": request.get_full_path()} | ({"ended": "1"} if had_session else {})
    return HttpResponse(status=303, headers={"Location": f"{reverse('log-in')}?{urlencode(where)}"})


def ask_for_step_up(request: HttpRequest) -> HttpResponse:
    """The form for a fresh proof of the second factor. What was to be sent is sent after it."""
    if request.method != "POST":
        where = f"{reverse('step-up')}?{urlencode({'next': request.get_full_path()})}"
        return HttpResponse(status=303, headers={"Location": where})
    log_in = console_request(request).log_in
    form = StepUpForm(initial={"held": held_of(request).sealed()})
    form.suit(has_second_factor=bool(log_in and log_in.has_second_factor))
    return render(request, "console/step_up.html", {"form": form, "is_held": True})


def go_on(
    request: HttpRequest,
    held: HeldForm,
    *,
    sends: bool,
    failed: Callable[[HttpRequest, Exception], HttpResponse | None],
) -> HttpResponseBase | None:
    """The held request as if it had just come: sent (`sends`), or its form shown again with what was typed. None for
    an address that has no form of its own to show."""
    try:
        match = resolve(urlsplit(held.path).path)
    except Resolver404:
        return None
    if not sends and not getattr(getattr(match.func, "view_class", None), "takes_draft", False):
        return None
    again: Any = copy.copy(request)
    again.path = again.path_info = urlsplit(held.path).path
    again.method = "POST" if sends else "GET"
    again.GET = QueryDict(urlsplit(held.path).query)
    again.META = {**request.META, "PATH_INFO": again.path, "QUERY_STRING": urlsplit(held.path).query}
    again.resolver_match = match
    again.htmx = False
    typed = QueryDict(held.body)
    again.POST = typed if sends else QueryDict()
    again.draft = None if sends else typed
    try:
        answer: HttpResponseBase | None = match.func(again, *match.args, **match.kwargs)
    except Exception as error:
        answer = failed(again, error)
        if answer is None:
            raise
    return answer
