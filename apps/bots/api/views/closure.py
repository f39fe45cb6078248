"""Called by the user service while it closes an account. Not part of the public API: the gateway does not route it."""

from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.services.closure import closure_holdings, closure_step
from apps.core.api.service_callers import ServiceView

AUDIENCE = "kraken"


@extend_schema(exclude=True)
class ClosureView(ServiceView):
    audience: ClassVar[str] = AUDIENCE
    callers: ClassVar[frozenset[str]] = frozenset({"user"})

    def get(self, request: Request, user_id: UUID) -> Response:
        """What bars the closure: bots that hold coins or have open orders."""
        return Response({"holdings": closure_holdings(user_id=user_id, now=timezone.now())})

    def post(self, request: Request, user_id: UUID) -> Response:
        """One step of the closure, and what remains after it."""
        remaining: list[Any] = closure_step(user_id=user_id, now=timezone.now())
        return Response({"remaining": remaining})
