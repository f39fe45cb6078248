"""Lists by pages, with filters in the address: they can be kept as a bookmark, and the back button works."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.console import words
from apps.console.api_client import alerts, bots, orders, portfolio, trades
from apps.console.api_client.base import Api
from apps.console.pages.panels import Call, Panel, PanelFragment, PanelPage

_PAGE = 50
_ANY = ("", _("Any"))


class MomentField(forms.DateTimeField):
    """A moment in the trader's time zone; ISO 8601 with its zone for the API."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(
            required=False, widget=widget, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], **options
        )


class FilterForm(forms.Form):
    """What the API filters by. `use_required_attribute` is off: an empty filter filters nothing."""

    bot_id = forms.ChoiceField(label=_("Bot"), required=False)
    mode = forms.ChoiceField(label=_("Mode"), required=False, choices=[_ANY, *words.MODES.items()])
    pair = forms.CharField(label=_("Pair"), required=False, max_length=20)
    side = forms.ChoiceField(label=_("Side"), required=False, choices=[_ANY, *words.SIDES.items()])
    since = MomentField(label=_("Since"))
    until = MomentField(label=_("Until"))
    template_name = "console/includes/form.html"

    def __init__(self, data: Any, *, named: dict[UUID, str]) -> None:
        super().__init__(data, label_suffix="")
        field = self.fields["bot_id"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [_ANY, *((str(bot_id), name) for bot_id, name in named.items())]

    def filters(self) -> dict[str, str]:
        """What was chosen, as the API takes it."""
        return {name: _text(value) for name, value in self.cleaned_data.items() if value}


class OrderFilterForm(FilterForm):
    state = forms.ChoiceField(label=_("State"), required=False, choices=[_ANY, *words.ORDER_STATES.items()])
    field_order = ["bot_id", "state", "mode", "pair", "side", "since", "until"]


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return timezone.make_aware(value).isoformat() if timezone.is_naive(value) else value.isoformat()
    return str(value)


class _ListPage(PanelPage):
    """`rows` is the page of the list; the bots' names come with it, for its rows and its filter."""

    form_class: ClassVar[type[FilterForm]] = FilterForm

    def rows(self, api: Api, filters: dict[str, str]) -> Any:
        raise NotImplementedError

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        asked = self.request.GET
        # The names of bots are not needed to know what the other filters say.
        self.form = self.form_class(asked, named={})
        self.form.fields["bot_id"] = forms.CharField(required=False, max_length=36)
        filters = self.form.filters() if self.form.is_valid() else {}
        cursor = asked.get("cursor", "")
        return {
            "rows": lambda api: self.rows(api, {**filters, "cursor": cursor}),
            "bots": bots.bots,
        }

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        listed = panels["bots"].value
        named = {bot.id: bot.name for bot in listed.results} if listed else {}
        is_filtered = any(self.request.GET.get(name) for name in self.form_class.base_fields)
        filter_form = self.form_class(self.request.GET, named=named)
        context = {"named": named, "filter": filter_form, "is_filtered": is_filtered}
        return {**super().with_panels(panels, **kwargs), **context}


class OrdersPage(_ListPage):
    template_name = "console/orders.html"
    form_class = OrderFilterForm

    def rows(self, api: Api, filters: dict[str, str]) -> Any:
        return orders.orders(api, limit=_PAGE, **filters)


class TradesPage(_ListPage):
    template_name = "console/trades.html"

    def rows(self, api: Api, filters: dict[str, str]) -> Any:
        return trades.account_trades(api, limit=_PAGE, **filters)


class AlertsPage(PanelPage):
    template_name = "console/alerts.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        cursor = self.request.GET.get("cursor", "")
        return {"rows": lambda api: alerts.alerts(api, limit=_PAGE, cursor=cursor)}


class OrderPage(PanelPage):
    """One order: each step of its life with what was observed, and its fills."""

    template_name = "console/order.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        return {"order": lambda api: orders.order(api, kwargs["order_id"])}

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        panels["order"].needed()
        return super().with_panels(panels, **kwargs)


class PortfolioPage(PanelPage):
    template_name = "console/portfolio.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        return {"portfolio": portfolio.portfolio}


class PortfolioPanel(PanelFragment, PortfolioPage):
    pass


class BotsPage(PanelPage):
    template_name = "console/bots.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        cursor = self.request.GET.get("cursor", "")
        return {"bots": lambda api: bots.bots(api, cursor=cursor)}
