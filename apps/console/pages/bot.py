"""One bot: what it does now, what it did and why, and what can be asked of it."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.console.api_client import bots, market, trades
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.forms.bots import TradeNowForm
from apps.console.pages.base import Page
from apps.console.pages.panels import Call, Panel, PanelFragment, PanelPage

_ENTRIES, _RECEIPTS, _TRADES = 15, 4, 10
_FILLS = 200
_CANDLES = 500
# Of seconds since 1970: up to the year 5138
_MOST_DIGITS = 11


class BotPage(PanelPage):
    template_name: ClassVar[str] = "console/bot.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        bot_id = kwargs["bot_id"]
        return {
            "bot": lambda api: bots.bot(api, bot_id),
            "state": lambda api: bots.status(api, bot_id),
            "figures": lambda api: bots.performance(api, bot_id),
            "receipts": lambda api: bots.receipts(api, bot_id, limit=_RECEIPTS),
            "timeline": lambda api: bots.timeline(api, bot_id, limit=_ENTRIES),
            "trades": lambda api: trades.bot_trades(api, bot_id, limit=_TRADES),
        }

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        context = super().with_panels(panels, **kwargs)
        if "bot" in panels and panels["bot"].needed() is None:
            raise ApiUnavailable("kraken")
        return context

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"trade_now": TradeNowForm(), **super().context(**kwargs)}


class BotPanel(PanelFragment, BotPage):
    pass


class BotTimelinePage(PanelPage):
    """The whole timeline by pages; with a command, all that it set off."""

    template_name: ClassVar[str] = "console/bot_timeline.html"

    def panels(self, **kwargs: Any) -> dict[str, Call]:
        bot_id, command_id = kwargs["bot_id"], kwargs.get("command_id")
        before = self.request.GET.get("before", "")
        query = (
            {"command_id": command_id} if command_id else {"before": before if before.isdigit() else "", "limit": 50}
        )
        return {
            "bot": lambda api: bots.bot(api, bot_id),
            "timeline": lambda api: bots.timeline(api, bot_id, **query),
        }

    def with_panels(self, panels: dict[str, Panel[Any]], **kwargs: Any) -> dict[str, Any]:
        panels["bot"].needed()
        panels["timeline"].needed()
        return super().with_panels(panels, **kwargs)


class BotCandles(Page):
    """Candles for the chart, as [seconds, open, high, low, close, volume]: amounts are the API's text."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        query = {name: request.GET.get(name, "") for name in ("pair", "interval", "before", "since")}
        bounds = {name: _moment(query[name]) for name in ("before", "since")}
        try:
            found = market.candles(self.api, pair=query["pair"], interval=query["interval"], limit=_CANDLES, **bounds)
        except (ApiRefused, ApiUnavailable):
            return _nothing_now()
        return JsonResponse(
            {
                "candles": [each.row for each in found.candles],
                "forming": found.forming.row if found.forming else None,
                "has_older": found.next is not None,
                "stale": found.stale,
                "as_of": found.as_of,
            }
        )


class BotFills(Page):
    """Fills for the chart, newest first. The time is that of the market, where it has one of its own."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            page = trades.bot_trades(self.api, kwargs["bot_id"], limit=_FILLS, cursor=request.GET.get("cursor", ""))
        except (ApiRefused, ApiUnavailable):
            return _nothing_now()
        fills = [
            {
                "id": trade.trade_id,
                "time": int((trade.market_time or trade.executed_at).timestamp()),
                "side": trade.side,
            }
            for trade in page.results
        ]
        return JsonResponse({"fills": fills, "older": page.older})


def _moment(seconds: str) -> str:
    """ISO 8601 of a candle's time; nothing for a text that is none."""
    is_one = seconds.isascii() and seconds.isdigit() and len(seconds) <= _MOST_DIGITS
    return datetime.fromtimestamp(int(seconds), UTC).isoformat() if is_one else ""


def _nothing_now() -> HttpResponse:
    """Nothing new: the chart keeps what it shows, and says that it is old."""
    return HttpResponse(status=204)
