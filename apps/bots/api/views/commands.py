"""What can be asked of a bot. Every answer is 202 with a receipt: the bot service does it, this says how far it got."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.pagination import CommandPagination
from apps.bots.api.serializers.commands import (
    BotIdSerializer,
    BotIdStopSerializer,
    BotIdTriggerTradeSerializer,
    CommandFilterSerializer,
    CommandReceiptListSerializer,
    CommandReceiptSerializer,
    NamedCommandReceiptSerializer,
    StopSerializer,
    TriggerTradeSerializer,
)
from apps.bots.api.views.base import accepted, accepted_all, mode_of_bot
from apps.bots.models import BotCommand
from apps.bots.selectors.command_receipts import (
    account_command_list,
    command_receipt_get,
    command_receipt_list,
    command_receipts_of,
)
from apps.bots.services.budgets import bot_check_budget
from apps.bots.services.commands import (
    bot_check_gates,
    bot_flatten,
    bot_pause,
    bot_start,
    bot_stop,
    bot_stop_all,
    bot_trigger_trade,
)
from apps.bots.services.definitions import bot_check_market
from apps.core.api.machine_key_access import MachineKeyAccess
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedTraderView, SafetyChanges, TraderView
from apps.core.identity.principal import principal_of
from apps.core.terms import Mode

_ACCEPTED = {202: CommandReceiptSerializer, **error_responses(401, 403, 404, 409, 422)}


class _CommandView(TraderView):
    machine_keys = MachineKeyAccess.TRADE
    ask: ClassVar[Callable[..., BotCommand]]

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        return (mode_of_bot(kwargs.get("bot_id") or self.body["bot_id"], request),)

    def _ask(self, request: Request, bot_id: UUID, **arguments: Any) -> Response:
        command = type(self).ask(bot_id=bot_id, user_id=principal_of(request).user_id, now=timezone.now(), **arguments)
        return accepted(command)


class _StartView(_CommandView):
    ask = staticmethod(bot_start)

    def check_before(self, request: Request, **kwargs: Any) -> None:
        bot_id = kwargs.get("bot_id") or self.body["bot_id"]
        caller = principal_of(request)
        bot_check_gates(bot_id=bot_id, user_id=caller.user_id, assurance=caller.assurance, now=timezone.now())
        bot_check_market(bot_id=bot_id, user_id=caller.user_id, changes={}, now=timezone.now())
        bot_check_budget(bot_id=bot_id, user_id=caller.user_id, now=timezone.now())


@extend_schema(tags=["Bot commands"])
class BotStartView(_StartView):
    @operation(responses=_ACCEPTED, location=True)
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Start a run of the definition as it is now.

        422 `budget_exceeds_account` where the account does not cover the budget beside the budgets of the key's other
        running bots and the orders of others; `details` has the figures.

        A live bot needs live trading to be on, a verified e-mail address, two-factor log-in and a step-up of the last
        five minutes; 403 `live_gate_unmet` names each that is missing in `details.gates`, and how to meet it.
        """
        return self._ask(request, bot_id, assurance=principal_of(request).assurance)


@extend_schema(tags=["Bot commands"])
class BotPauseView(SafetyChanges, _CommandView):
    ask = staticmethod(bot_pause)

    @operation(responses=_ACCEPTED, location=True)
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Trade no more; open orders stay."""
        return self._ask(request, bot_id)


@extend_schema(tags=["Bot commands"])
class BotStopView(SafetyChanges, _CommandView):
    ask = staticmethod(bot_stop)

    @operation(body=StopSerializer, responses=_ACCEPTED, location=True)
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Trade no more and cancel open orders; `manner` says otherwise. A start that is in progress is cancelled.

        No new order is sent after the answer, but for the sales of a flatten.
        """
        return self._ask(request, bot_id, **self.body)


@extend_schema(tags=["Bot commands"])
class BotFlattenView(SafetyChanges, _CommandView):
    ask = staticmethod(bot_flatten)

    @operation(responses=_ACCEPTED, location=True)
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Stop and sell what the bot holds."""
        return self._ask(request, bot_id)


@extend_schema(tags=["Bot commands"])
class BotTriggerTradeView(_CommandView):
    ask = staticmethod(bot_trigger_trade)

    @operation(body=TriggerTradeSerializer, responses=_ACCEPTED, location=True)
    def post(self, request: Request, bot_id: UUID) -> Response:
        """Trade now. Not begun within 15 minutes, it is dropped.

        422 `live_trading_disabled` for a live bot while the platform's switch for live trading is off;
        it may still sell.
        """
        return self._ask(request, bot_id, **self.body)


@extend_schema(tags=["Bot commands"])
class BotStopAllView(SafetyChanges, TraderView):
    # Bots of both modes: a key needs both scopes.
    machine_keys = MachineKeyAccess.TRADE

    @operation(
        body=StopSerializer, responses={202: CommandReceiptListSerializer, **error_responses(401, 403, 409, 422)}
    )
    def post(self, request: Request) -> Response:
        """Stop every bot of the caller, in one transaction: all are asked, or none.

        No new order of any of them is sent after the answer, but for the sales of a flatten.
        """
        return accepted_all(bot_stop_all(user_id=principal_of(request).user_id, now=timezone.now(), **self.body))


@extend_schema(tags=["Bot commands"])
class BotStartByBodyView(_StartView):
    @operation(operation_id="bot_start_by_body", body=BotIdSerializer, responses=_ACCEPTED, location=True)
    def post(self, request: Request) -> Response:
        """As `POST /bot/{id}/start`."""
        return self._ask(request, **self.body, assurance=principal_of(request).assurance)


@extend_schema(tags=["Bot commands"])
class BotStopByBodyView(SafetyChanges, _CommandView):
    ask = staticmethod(bot_stop)

    @operation(operation_id="bot_stop_by_body", body=BotIdStopSerializer, responses=_ACCEPTED, location=True)
    def post(self, request: Request) -> Response:
        """As `POST /bot/{id}/stop`."""
        return self._ask(request, **self.body)


@extend_schema(tags=["Bot commands"])
class BotTriggerTradeByBodyView(_CommandView):
    ask = staticmethod(bot_trigger_trade)

    @operation(
        operation_id="bot_trigger_trade_by_body", body=BotIdTriggerTradeSerializer, responses=_ACCEPTED, location=True
    )
    def post(self, request: Request) -> Response:
        """As `POST /bot/{id}/trigger-trade`."""
        return self._ask(request, **self.body)


@extend_schema(tags=["Bot commands"])
class BotCommandListView(PagedTraderView):
    pagination_class = CommandPagination

    @operation(responses={200: CommandReceiptSerializer(many=True), **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID) -> Response:
        """What was asked of the bot, newest first."""
        now = timezone.now()
        commands = command_receipt_list(bot_id=bot_id, user_id=principal_of(request).user_id)
        return self.page_of(
            commands,
            CommandReceiptSerializer,
            prepare=lambda rows: command_receipts_of(rows, now=now),
        )


@extend_schema(tags=["Bot commands"])
class AccountCommandListView(PagedTraderView):
    pagination_class = CommandPagination

    @operation(
        operation_id="bot_commands_of_all_list",
        query=CommandFilterSerializer,
        responses={200: NamedCommandReceiptSerializer(many=True), **error_responses(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """What was asked of all the caller's bots, newest first: how far a stop-all got is one call."""
        now = timezone.now()
        return self.page_of(
            account_command_list(user_id=principal_of(request).user_id, **self.query),
            NamedCommandReceiptSerializer,
            prepare=lambda rows: command_receipts_of(rows, now=now),
        )


@extend_schema(tags=["Bot commands"])
class BotCommandView(TraderView):
    @operation(responses={200: CommandReceiptSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, bot_id: UUID, command_id: UUID) -> Response:
        """How far a command got."""
        receipt = command_receipt_get(
            bot_id=bot_id, command_id=command_id, user_id=principal_of(request).user_id, now=timezone.now()
        )
        return Response(CommandReceiptSerializer(receipt).data)
