"""Panels of a page: each is one call of the API, all are asked at once, and one that cannot be had leaves the rest."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.console.api_client.base import Api, ApiRefused, ApiUnavailable, SessionEnded
from apps.console.pages.base import Page
from apps.console.texts import sentence_for

Value = TypeVar("Value")
Call = Callable[[Api], Any]
# Of all pages of a process together; each thread waits for an answer of another process.
_THREADS = 32


@dataclass(frozen=True)
class Panel(Generic[Value]):
    """What a panel shows, or `problem`: a sentence that says why it shows nothing. `at` is when it was asked."""

    value: Value | None
    at: datetime
    problem: str = ""
    refusal: ApiRefused | None = None

    def needed(self) -> Value | None:
        """The value, where there is no page without it. Raises the API's refusal, such as that of a foreign id."""
        if self.refusal is not None:
            raise self.refusal
        return self.value


def load(api: Api, calls: dict[str, Call]) -> dict[str, Panel[Any]]:
    """Asks for all at once. Raises SessionEnded; any other failure is the panel's own."""
    # Exchanged here where it is due: the calls share the token.
    api.access_token()
    now = timezone.now()
    if len(calls) == 1:
        return {name: _one(call, api, now) for name, call in calls.items()}
    asked = {name: _threads().submit(copy_context().run, _one, call, api, now) for name, call in calls.items()}
    return {name: future.result() for name, future in asked.items()}


def _one(call: Callable[[Api], Value], api: Api, now: datetime) -> Panel[Value]:
    try:
        return Panel(call(api), now)
    except SessionEnded:
        raise
    except ApiRefused as refused:
        return Panel(None, now, problem=sentence_for(refused), refusal=refused)
    except ApiUnavailable:
        return Panel(None, now, problem=_("The trading service cannot be reached at the moment. Load the page again."))


@cache
def _threads() -> ThreadPoolExecutor:
    """Made at the first use, after the process was forked."""
    return ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="panel")


class PanelPage(Page):
    """A page of panels. `panels` are their calls by name; each name is also that of its template below panels/."""

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        raise NotImplementedError

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return self.with_panels(load(self.api, self.panels(**kwargs)), **kwargs)

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        """What templates get: for the page all panels, for a single panel that one."""
        return {**kwargs, **panels}


class PanelFragment(PanelPage):
    """One panel of a page that is open, by the `panel` of its address, mixed into the page's class.

    204 where it cannot be had: the open page keeps what it shows, greyed.
    """

    fragments: ClassVar[str] = "console/panels"

    def get(self, request: HttpRequest, panel: str = "", **kwargs: Any) -> HttpResponse:
        calls = self.panels(**kwargs)
        if panel not in calls:
            raise Http404
        loaded = load(self.api, {panel: calls[panel]})
        if loaded[panel].needed() is None:
            return HttpResponse(status=204)
        return self.render(f"{self.fragments}/{panel}.html", **self.with_panels(loaded, **kwargs))
