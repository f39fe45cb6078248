"""Strategies and the definitions of bots."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.bots.api.serializers.definitions import (
    BotChangeSerializer,
    BotCreateSerializer,
    BotSerializer,
    StrategyListSerializer,
)
from apps.bots.api.views.base import PagedView, TraderView, page_of, valid
from apps.bots.models import Bot
from apps.bots.selectors.bots import bot_get, bot_list, bot_view, bot_views
from apps.bots.services.definitions import bot_create, bot_delete, bot_update
from apps.core.api.schema import error_responses
from apps.core.principal import principal_of
from apps.strategies.registry import all_strategies


class StrategyListView(APIView):
    @extend_schema(tags=["Bots"], responses={200: StrategyListSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """The strategies that a bot can have, each with the JSON Schema of its parameters."""
        return Response(StrategyListSerializer({"results": all_strategies()}).data)


@extend_schema(tags=["Bots"])
class BotListView(PagedView):
    @extend_schema(responses={200: BotSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """The caller's bots, newest first."""
        now = timezone.now()
        bots = bot_list(user_id=principal_of(request).user_id)
        return page_of(bots, request, self, BotSerializer, prepare=lambda rows: bot_views(rows, now=now))

    @extend_schema(request=BotCreateSerializer, responses={201: BotSerializer, **error_responses(401, 403, 409, 422)})
    def post(self, request: Request) -> Response:
        """Define a bot. It does not run until it is started.

        422 `live_trading_disabled` for a live bot while the platform's switch for live trading is off.
        """
        now = timezone.now()
        bot = bot_create(user_id=principal_of(request).user_id, **valid(BotCreateSerializer, request.data), now=now)
        response = _one(bot, status=201)
        response["Location"] = f"{request.path}/{bot.id}"
        return response


@extend_schema(tags=["Bots"])
class BotView(TraderView):
    @extend_schema(responses={200: BotSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """One bot."""
        return _one(bot_get(bot_id=bot_id, user_id=principal_of(request).user_id))

    @extend_schema(
        request=BotChangeSerializer(partial=True),
        responses={200: BotSerializer, **error_responses(401, 403, 404, 409, 422)},
    )
    def patch(self, request: Request, bot_id: UUID) -> Response:
        """Change the definition.

        A run goes on with the version that it was started with. `mode` and `pair` never change.
        """
        changes = valid(BotChangeSerializer, request.data, partial=True)
        expected_version = changes.pop("version", None)
        bot = bot_update(
            bot_id=bot_id,
            user_id=principal_of(request).user_id,
            changes=changes,
            expected_version=expected_version,
            now=timezone.now(),
        )
        return _one(bot)

    @extend_schema(responses={204: None, **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, bot_id: UUID) -> Response:
        """Delete a bot that is not at work. Its trades stay in the account's list."""
        bot_delete(bot_id=bot_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(status=204)


def _one(bot: Bot, *, status: int = 200) -> Response:
    return Response(BotSerializer(bot_view(bot, now=timezone.now())).data, status=status)
