"""Caps on live trading."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.serializers.caps import CapChangeSerializer, CapFilterSerializer, CapsSerializer
from apps.bots.selectors.bots import bot_get
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import TraderView
from apps.core.identity.principal import principal_of
from apps.risk.caps import asset_name, caps_in_force, caps_own, first_days_end_at
from apps.risk.services.caps import caps_change


@extend_schema(tags=["Trading"])
class CapsView(TraderView):
    @operation(query=CapFilterSerializer, responses={200: CapsSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request) -> Response:
        """The largest order, position and budget of your live bots in one quote asset. Paper has no caps."""
        return self._answer(principal_of(request).user_id, **self.query)

    @operation(body=CapChangeSerializer, responses={200: CapsSerializer, **error_responses(401, 403, 404)})
    def patch(self, request: Request) -> Response:
        """Change caps. Lowering them needs nothing.

        Raising one needs live trading to be on, a verified e-mail address, two-factor log-in and a step-up of the last
        five minutes; 403 `live_gate_unmet` names each that is missing in `details.gates`, and how to meet it.
        """
        caller, changes = principal_of(request), dict(self.body)
        subject = {"asset": changes.pop("asset"), "bot_id": changes.pop("bot_id")}
        if subject["bot_id"] is not None:
            bot_get(bot_id=subject["bot_id"], user_id=caller.user_id)
        caps_change(user_id=caller.user_id, changes=changes, assurance=caller.assurance, now=timezone.now(), **subject)
        return self._answer(caller.user_id, **subject)

    def _answer(self, user_id: UUID, *, asset: str, bot_id: UUID | None) -> Response:
        if bot_id is not None:
            bot_get(bot_id=bot_id, user_id=user_id)
        about: dict[str, Any] = {"user_id": user_id, "bot_id": bot_id, "asset": asset}
        answer = {
            "asset": asset_name(asset),
            "bot_id": bot_id,
            "own": caps_own(**about),
            "in_force": caps_in_force(**about, now=timezone.now()),
            "first_days_end_at": first_days_end_at(user_id=user_id),
        }
        return Response(CapsSerializer(answer).data)
