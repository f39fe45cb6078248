"""What bots do and did."""

from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.pagination import AccountTradePagination, TradePagination
from apps.bots.api.serializers.status import (
    AlertSerializer,
    StatusSerializer,
    TimelineQuerySerializer,
    TimelineSerializer,
)
from apps.bots.api.serializers.trading import (
    AccountEquityQuerySerializer,
    AccountEquitySerializer,
    AccountTradeFilterSerializer,
    AccountTradeSerializer,
    BotEquitySerializer,
    EquityQuerySerializer,
    PerformanceSerializer,
    PortfolioSerializer,
    TradeFilterSerializer,
    TradeSerializer,
)
from apps.bots.selectors.bots import bot_get, bot_view_get
from apps.bots.selectors.equity import equity_of_account, equity_of_bot
from apps.bots.selectors.performance import performance_get
from apps.bots.selectors.portfolio import portfolio_get
from apps.bots.selectors.timeline import TimelinePage, timeline_of_command, timeline_page
from apps.bots.selectors.trades import account_trade_list, alert_list, trade_list
from apps.core.api.answers import shown
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedTraderView, TraderView
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Bot status"])
class BotStatusView(TraderView):
    @operation(responses={200: StatusSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """What the bot last reported, and the command in progress."""
        view = bot_view_get(bot_id=bot_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(shown(StatusSerializer, view))


@extend_schema(tags=["Bot status"])
class BotTradeListView(PagedTraderView):
    pagination_class = TradePagination

    @operation(
        query=TradeFilterSerializer, responses={200: TradeSerializer(many=True), **error_responses(401, 403, 404)}
    )
    def get(self, request: Request, bot_id: UUID) -> Response:
        """The bot's trades, newest first."""
        user_id = principal_of(request).user_id
        page = self.page_of(trade_list(bot_id=bot_id, user_id=user_id, **self.query), TradeSerializer)
        if not page.data["results"]:
            bot_get(bot_id=bot_id, user_id=user_id)  # an empty page, or no such bot
        return page


@extend_schema(tags=["Bot status"])
class BotPerformanceView(TraderView):
    @operation(responses={200: PerformanceSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """What the bot earned, and what it would be worth at the last price."""
        performance = performance_get(bot_id=bot_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(PerformanceSerializer(performance).data)


@extend_schema(tags=["Bot status"])
class BotEquityView(TraderView):
    @operation(query=EquityQuerySerializer, responses={200: BotEquitySerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """The bot's equity by time."""
        user_id = principal_of(request).user_id
        equity = equity_of_bot(bot_id=bot_id, user_id=user_id, now=timezone.now(), **self.query)
        return Response(BotEquitySerializer(equity).data)


@extend_schema(tags=["Trading"])
class AccountEquityView(TraderView):
    @operation(
        query=AccountEquityQuerySerializer, responses={200: AccountEquitySerializer, **error_responses(401, 403)}
    )
    def get(self, request: Request) -> Response:
        """The equity of all bots of one mode by time, deleted ones included, one curve for each quote asset."""
        equity = equity_of_account(user_id=principal_of(request).user_id, now=timezone.now(), **self.query)
        return Response(AccountEquitySerializer(equity).data)


@extend_schema(tags=["Bot status"])
class BotTimelineView(TraderView):
    @operation(query=TimelineQuerySerializer, responses={200: TimelineSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """Why the bot did what it did: every event with the one that caused it, from the request to the fill.

        Newest first; with `command_id`, all that one command set off, oldest first.
        """
        user_id = principal_of(request).user_id
        query = self.query
        if query["command_id"] is not None:
            entries = timeline_of_command(bot_id=bot_id, command_id=query["command_id"], user_id=user_id)
            return Response(TimelineSerializer({"next": None, "results": entries}).data)
        page = timeline_page(bot_id=bot_id, user_id=user_id, before_seq=query["before"], limit=query["limit"])
        return Response(
            TimelineSerializer({"next": _next(request, page, query["limit"]), "results": page.entries}).data
        )


def _next(request: Request, page: TimelinePage, limit: int) -> str | None:
    if page.before_seq is None:
        return None
    return request.build_absolute_uri(f"{request.path}?{urlencode({'before': page.before_seq, 'limit': limit})}")


@extend_schema(tags=["Bot status"])
class AlertListView(PagedTraderView):
    @operation(responses={200: AlertSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """What the caller should know of at once: failed bots and failed key tests, newest first."""
        alerts = alert_list(user_id=principal_of(request).user_id)
        return self.page_of(alerts, AlertSerializer)


@extend_schema(tags=["Trading"])
class AccountTradeListView(PagedTraderView):
    pagination_class = AccountTradePagination

    @operation(
        query=AccountTradeFilterSerializer,
        responses={200: AccountTradeSerializer(many=True), **error_responses(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """All trades on the caller's exchange accounts, those of bots and others, newest first."""
        trades = account_trade_list(user_id=principal_of(request).user_id, **self.query)
        return self.page_of(trades, AccountTradeSerializer)


@extend_schema(tags=["Trading"])
class PortfolioView(TraderView):
    @operation(responses={200: PortfolioSerializer, **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """What the caller's bots hold, at the last prices, and what they earned."""
        portfolio = portfolio_get(user_id=principal_of(request).user_id, now=timezone.now())
        return Response(PortfolioSerializer(portfolio).data)
