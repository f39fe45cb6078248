"""Halts of the caller's bots, keys and of the caller."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.pagination import HaltPagination
from apps.bots.api.serializers.halts import HaltFilterSerializer, HaltSerializer, HaltSetSerializer
from apps.bots.api.views.base import mode_of_bot, mode_of_key
from apps.bots.selectors.halts import halt_list
from apps.bots.services.halts import halt_lift_by_user, halt_set_by_user
from apps.core.api.machine_key_access import MachineKeyAccess
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedTraderView, SafetyChanges, TraderView
from apps.core.identity.principal import principal_of
from apps.core.terms import Mode
from apps.risk.models.halts import HaltLevel, HaltScope

_IN_FORCE = {"in_force": True, "lifted": False, "all": None}


@extend_schema(tags=["Trading"])
class HaltListView(SafetyChanges, PagedTraderView):
    pagination_class = HaltPagination
    machine_keys = MachineKeyAccess.TRADE

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        """A halt of the user concerns both modes."""
        match self.body:
            case {"scope": HaltScope.BOT, "bot_id": UUID() as bot_id}:
                return (mode_of_bot(bot_id, request),)
            case {"scope": HaltScope.KEY, "credential_id": UUID() as credential_id}:
                return (mode_of_key(credential_id, request),)
        return tuple(Mode)

    @operation(query=HaltFilterSerializer, responses={200: HaltSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """What keeps the caller's bots from trading, newest first; also halts of the whole platform."""
        halts = halt_list(user_id=principal_of(request).user_id, in_force=_IN_FORCE[self.query["state"]])
        return self.page_of(halts, HaltSerializer)

    @operation(
        body=HaltSetSerializer,
        responses={201: HaltSerializer, **error_responses(401, 403, 404, 409, 422)},
        location=True,
    )
    def post(self, request: Request) -> Response:
        """Halt a bot, every bot of a key, or all of the caller's: no new order is sent after the answer.

        Bots keep running and go on once the halt is lifted. An order that was being sent is finished. A second halt of
        the same subject replaces the first.
        """
        wanted = {**self.body, "scope": HaltScope(self.body["scope"]), "level": HaltLevel(self.body["level"])}
        halt = halt_set_by_user(user_id=principal_of(request).user_id, **wanted, now=timezone.now())
        response = Response(HaltSerializer(halt).data, status=201)
        response["Location"] = f"{request.path}/{halt.id}"
        return response


@extend_schema(tags=["Trading"])
class HaltView(SafetyChanges, TraderView):
    # Lifting lets bots trade again, whichever mode they have: a key needs both scopes.
    machine_keys = MachineKeyAccess.TRADE

    @operation(responses={204: None, **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, halt_id: UUID) -> Response:
        """Lift a halt that the caller set. 409 `halt_not_yours` for one that staff or the platform set."""
        halt_lift_by_user(halt_id=halt_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(status=204)
