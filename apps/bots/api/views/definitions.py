"""Strategies and the definitions of bots."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.serializers.definitions import (
    BotChangeSerializer,
    BotCloneSerializer,
    BotCreateSerializer,
    BotListQuerySerializer,
    BotSerializer,
    ListedBotSerializer,
    StrategyListSerializer,
)
from apps.bots.api.views.base import mode_of_bot, mode_of_key
from apps.bots.models import Bot
from apps.bots.selectors.bots import bot_get, bot_list, bot_view, bot_views, bot_views_with_dust
from apps.bots.services.definitions import (
    bot_check_market,
    bot_clone,
    bot_create,
    bot_delete,
    bot_update,
    clone_check_market,
    new_bot_check_market,
)
from apps.core.api.machine_key_access import MachineKeyAccess
from apps.core.api.requests import AbandonQuerySerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.views import ApiView, PagedTraderView, TraderView
from apps.core.identity.access import USERS
from apps.core.identity.principal import principal_of
from apps.core.terms import Mode
from apps.strategies.registry import all_strategies


class StrategyListView(ApiView):
    access = USERS

    @operation(tags=["Bots"], responses={200: StrategyListSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """The strategies that a bot can have, each with the JSON Schema of its parameters."""
        return Response(StrategyListSerializer({"results": all_strategies()}).data)


@extend_schema(tags=["Bots"])
class BotListView(PagedTraderView):
    machine_keys = MachineKeyAccess.TRADE

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        return (mode_of_key(self.body["credential_id"], request),)

    @operation(
        query=BotListQuerySerializer, responses={200: ListedBotSerializer(many=True), **error_responses(401, 403)}
    )
    def get(self, request: Request) -> Response:
        """The caller's bots, newest first; with `include=status` each with what it does now."""
        now = timezone.now()
        bots = bot_list(user_id=principal_of(request).user_id)
        views = bot_views_with_dust if self.query["include"] else bot_views
        return self.page_of(
            bots, ListedBotSerializer, prepare=lambda rows: views(rows, now=now), context=dict(self.query)
        )

    def check_before(self, request: Request, **kwargs: Any) -> None:
        needed = {name: self.body[name] for name in ("credential_id", "pair", "interval_minutes", "mode")}
        new_bot_check_market(user_id=principal_of(request).user_id, **needed, now=timezone.now())

    @operation(
        body=BotCreateSerializer, responses={201: BotSerializer, **error_responses(401, 403, 409, 422)}, location=True
    )
    def post(self, request: Request) -> Response:
        """Define a bot. It does not run until it is started.

        422 `live_trading_disabled` for a live bot while the platform's switch for live trading is off.
        """
        now = timezone.now()
        bot = bot_create(user_id=principal_of(request).user_id, **self.body, now=now)
        response = _one(bot, status=201)
        response["Location"] = f"{request.path}/{bot.id}"
        return response


@extend_schema(tags=["Bots"])
class BotView(TraderView):
    machine_keys = MachineKeyAccess.TRADE

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        return (mode_of_bot(kwargs["bot_id"], request),)

    def check_before(self, request: Request, **kwargs: Any) -> None:
        if {"pair", "interval_minutes"} & self.body.keys():
            user_id = principal_of(request).user_id
            bot_check_market(bot_id=kwargs["bot_id"], user_id=user_id, changes=self.body, now=timezone.now())

    @operation(responses={200: BotSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """One bot."""
        return _one(bot_get(bot_id=bot_id, user_id=principal_of(request).user_id))

    @operation(
        body=BotChangeSerializer,
        partial=True,
        responses={200: BotSerializer, **error_responses(401, 403, 404, 409, 422)},
        immutable={
            "id": "POST /api/v1/bot/{id}/clone makes another bot with these values.",
            "state": "POST /api/v1/bot/{id}/start, /pause and /stop change it.",
        },
    )
    def patch(self, request: Request, bot_id: UUID) -> Response:
        """Change the definition.

        A run goes on with the version that it was started with. `mode` never changes, `credential_id` and `pair` do
        not once the bot has run, nor does anything else of the answer: 422 `field_is_immutable`.
        `POST /bot/{id}/clone` makes a bot with other values.
        """
        changes = {**self.body}
        expected_version = changes.pop("version", None)
        bot = bot_update(
            bot_id=bot_id,
            user_id=principal_of(request).user_id,
            changes=changes,
            expected_version=expected_version,
            now=timezone.now(),
        )
        return _one(bot)

    @operation(query=AbandonQuerySerializer, responses={204: None, **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, bot_id: UUID) -> Response:
        """Delete a bot that is not at work. Its trades stay in the account's list.

        409 `bot_holds_position` where it holds coins: flatten it first, or give the coins up with `abandon=true`.
        """
        bot_delete(bot_id=bot_id, user_id=principal_of(request).user_id, now=timezone.now(), **self.query)
        return Response(status=204)


@extend_schema(tags=["Bots"])
class BotCloneView(TraderView):
    machine_keys = MachineKeyAccess.TRADE

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        """The mode of the clone is its key's."""
        if credential_id := self.body.get("credential_id"):
            return (mode_of_key(credential_id, request),)
        return (mode_of_bot(kwargs["bot_id"], request),)

    def check_before(self, request: Request, **kwargs: Any) -> None:
        user_id = principal_of(request).user_id
        clone_check_market(bot_id=kwargs["bot_id"], user_id=user_id, changes=self.body, now=timezone.now())

    @operation(
        body=BotCloneSerializer,
        partial=True,
        responses={201: BotSerializer, **error_responses(401, 403, 404, 409, 422)},
        location=True,
    )
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Define a bot like another one, with other values where they are given, for instance its key or its pair.

        It has not run and holds nothing. Its mode is its key's.
        """
        bot = bot_clone(bot_id=bot_id, user_id=principal_of(request).user_id, changes=self.body, now=timezone.now())
        response = _one(bot, status=201)
        response["Location"] = reverse("bot", args=[bot.id])
        return response


def _one(bot: Bot, *, status: int = 200) -> Response:
    return Response(BotSerializer(bot_view(bot, now=timezone.now())).data, status=status)
