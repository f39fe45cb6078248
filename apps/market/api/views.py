"""Market data over HTTP. Every answer says as of when it is; stale is said, not hidden."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.answers import shown
from apps.core.api.pagination import PAGE_PARAMETERS, NewestFirstPagination
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import ApiView, PagedView
from apps.core.identity.access import USERS
from apps.core.terms import Mode
from apps.market import selectors, services
from apps.market.api.serializers import (
    ExchangeStatusSerializer,
    InstrumentPageSerializer,
    InstrumentSerializer,
    OhlcQuerySerializer,
    OhlcSerializer,
    OrderBookQuerySerializer,
    OrderBookSerializer,
    PairQuerySerializer,
    TickerSerializer,
)
from apps.market.cache import Snapshot
from apps.market.candle_pages import candles_page


class ByNamePagination(NewestFirstPagination):
    ordering = "altname"


@extend_schema(tags=["Market data"])
class PairListView(PagedView):
    access = USERS
    pagination_class = ByNamePagination

    @operation(parameters=PAGE_PARAMETERS, responses={200: InstrumentPageSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """The pairs that can be traded and the rules that orders on them must meet, by name."""
        mode, now = selectors.source_mode(), timezone.now()
        listed = services.instruments_ensure(mode=mode, now=now)
        page = self.page_of(selectors.instrument_list(mode=mode), InstrumentSerializer)
        page.data = {**_freshness(listed, mode, now), **page.data}
        return page


@extend_schema(tags=["Market data"])
class TickerView(ApiView):
    access = USERS

    @operation(query=PairQuerySerializer, responses={200: TickerSerializer, **error_responses(401, 404)})
    def get(self, request: Request) -> Response:
        """Best prices now, and figures of the last 24 hours."""
        mode, now = selectors.source_mode(), timezone.now()
        ticker = selectors.ticker_get(**self.query, mode=mode, now=now)
        return Response(shown(TickerSerializer, {**asdict(ticker.value), **_freshness(ticker, mode, now)}))


@extend_schema(tags=["Market data"])
class OhlcView(ApiView):
    access = USERS

    @operation(query=OhlcQuerySerializer, responses={200: OhlcSerializer, **error_responses(401, 404, 422)})
    def get(self, request: Request) -> Response:
        """Candles: the closed ones, and the one that is still forming.

        The newest page without `before` and `since`; follow `next` back until it is null, where history ends.
        """
        mode, now = selectors.source_mode(), timezone.now()
        pair = selectors.instrument_get(pair=self.query["pair"], mode=mode, now=now).altname
        ohlc = selectors.ohlc_get(pair=pair, interval_minutes=self.query["interval"], mode=mode, now=now)
        asked = {name: self.query[name] for name in ("limit", "before", "since")}
        page = candles_page(ohlc.value, **asked)
        body = {
            "pair": pair,
            "interval_minutes": self.query["interval"],
            "candles": page.candles,
            "forming": page.forming,
            "next": _page_address(request, self.query, pair, before=page.older_before),
            "previous": _page_address(request, self.query, pair, since=page.newer_since),
            "history_starts_at": page.history_starts_at,
        }
        return Response(shown(OhlcSerializer, {**body, **_freshness(ohlc, mode, now)}))


@extend_schema(tags=["Market data"])
class OrderBookView(ApiView):
    access = USERS

    @operation(query=OrderBookQuerySerializer, responses={200: OrderBookSerializer, **error_responses(401, 404)})
    def get(self, request: Request) -> Response:
        """The order book's best levels."""
        mode, now = selectors.source_mode(), timezone.now()
        book = selectors.order_book_get(pair=self.query["pair"], mode=mode, now=now)
        depth = self.query["depth"]
        body = {"pair": book.value.pair, "asks": book.value.asks[:depth], "bids": book.value.bids[:depth]}
        return Response(shown(OrderBookSerializer, {**body, **_freshness(book, mode, now)}))


@extend_schema(tags=["Market data"])
class ExchangeStatusView(ApiView):
    access = USERS

    @operation(responses={200: ExchangeStatusSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Whether the exchange takes orders now, in its own word; "unreachable" where it does not answer."""
        mode = selectors.source_mode()
        status = selectors.market_status(mode=mode, now=timezone.now())
        body = {
            "exchange": mode,
            "status": status.value.status,
            "exchange_time": status.value.at,
            "as_of": status.as_of,
            "synthetic": status.value.is_synthetic,
        }
        return Response(ExchangeStatusSerializer(body).data)


def _page_address(request: Request, query: dict[str, Any], pair: str, **bound: datetime | None) -> str | None:
    [(name, at)] = bound.items()
    if at is None:
        return None
    asked = {"pair": pair, "interval": query["interval"], "limit": query["limit"], name: at.isoformat()}
    return request.build_absolute_uri(f"{request.path}?{urlencode(asked)}")


def _freshness(snapshot: Snapshot[Any], mode: Mode, now: datetime) -> dict[str, Any]:
    return {
        "exchange": mode,
        "as_of": snapshot.as_of,
        "stale": snapshot.is_stale,
        "synthetic": selectors.is_synthetic(mode=mode, now=now),
    }
