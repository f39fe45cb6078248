"""All bots at a glance, and the one button that stops them all."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.console.api_client import alerts, bots, portfolio
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.pages.base import Page, redirect_to
from apps.console.pages.panels import Call, Panel, PanelFragment, PanelPage
from apps.console.texts import sentence_for

_ALERTS = 5
_ENDINGS = frozenset({"pause", "stop", "flatten"})
# Days before today, and what a span is called. None: from the first trade on.
_SPANS: dict[str, tuple[int | None, str | Promise]] = {
    "today": (0, gettext_lazy("Today")),
    "week": (6, gettext_lazy("7 days")),
    "month": (29, gettext_lazy("30 days")),
    "all": (None, gettext_lazy("All")),
}
# The most pressing state first
_STATES = ("error", "starting", "stopping", "running", "paused", "stopped")


class OverviewPage(PanelPage):
    template_name: ClassVar[str] = "console/overview.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        since = _begin_of(self.span)
        calls: dict[str, Call] = {
            "bots": bots.bots,
            "paper": lambda api: portfolio.equity(api, mode="paper", since=since),
            "live": lambda api: portfolio.equity(api, mode="live", since=since),
            "alerts": lambda api: alerts.alerts(api, limit=_ALERTS),
            "halts": alerts.halts,
        }
        if stopped := self.stopped_since:
            calls["stopping"] = lambda api: bots.receipts_since(api, stopped)
        return calls

    @property
    def span(self) -> str:
        asked = self.request.GET.get("span", "")
        return asked if asked in _SPANS else "today"

    @property
    def stopped_since(self) -> str:
        """When the stop-all was asked for whose progress the page shows; empty without one."""
        text = self.request.GET.get("stopped", "")
        try:
            return text if parse_datetime(text) else ""
        except ValueError:
            return ""

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        context = {**super().with_panels(panels, **kwargs), "stopped": self.stopped_since, "span": self.span}
        context["spans"] = [(name, title) for name, (_days, title) in _SPANS.items()]
        if (listed := panels.get("bots")) and listed.value:
            found = Counter(bot.state for bot in listed.value.results)
            context["counts"] = [(state, found[state]) for state in _STATES if found[state]]
        if (stopping := panels.get("stopping")) and stopping.value:
            context["progress"] = StopProgress(stopping.value)
        return context


class OverviewPanel(PanelFragment, OverviewPage):
    pass


def _begin_of(span: str) -> datetime | None:
    """The first midnight of the span in the trader's time zone."""
    days, _title = _SPANS[span]
    if days is None:
        return None
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=days)


class StopProgress:
    """How far a stop-all got: over when the end of every order of every bot is proved."""

    def __init__(self, receipts: list[bots.NamedReceipt]) -> None:
        self.receipts = [receipt for receipt in receipts if receipt.kind in _ENDINGS]
        self.over = sum(receipt.is_over for receipt in self.receipts)
        self.total = len(self.receipts)
        self.is_over = self.over == self.total
        self.has_left = any(receipt.incomplete or receipt.state in ("failed", "dropped") for receipt in self.receipts)


class StopAllPage(Page):
    """Only takes POST: the receipt of what it asked for is a panel of the overview."""

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        manner = "flatten" if request.POST.get("manner") == "flatten" else "stop"
        try:
            receipts = bots.stop_all(self.api, manner=manner, key=request.POST.get("idempotency_key", ""))
        except ApiRefused as refused:
            if refused.status == 404:
                raise
            messages.error(request, sentence_for(refused))
            return redirect_to(reverse("home"))
        except ApiUnavailable:
            text = _("Whether the bots were asked to stop is not known: the trading service did not answer. Try again.")
            messages.error(request, text)
            return redirect_to(reverse("home"))
        if not receipts:
            messages.info(request, _("No bot is at work."))
            return redirect_to(reverse("home"))
        since = min(receipt.requested_at for receipt in receipts)
        return redirect_to(f"{reverse('home')}?{urlencode({'stopped': since.isoformat()})}")

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return redirect_to(reverse("home"))


class LiftHaltPage(Page):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            alerts.halt_lift(self.api, kwargs["halt_id"], key=request.POST.get("idempotency_key", ""))
        except ApiRefused as refused:
            messages.error(request, sentence_for(refused))
            return redirect_to(reverse("home"))
        return self.see_other("home", note=_("The halt is lifted."))

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return redirect_to(reverse("home"))
