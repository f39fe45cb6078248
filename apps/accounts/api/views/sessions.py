"""See and end sessions."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.api import serializers
from apps.accounts.api.authentication import LiveSessionAuthentication
from apps.accounts.api.pagination import SessionPagination
from apps.accounts.api.views.base import AccountView
from apps.accounts.models import UserSession
from apps.accounts.services.sessions import session_end
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.schema import error_responses
from apps.core.principal import principal_of


@extend_schema(tags=["Sessions"], responses={200: serializers.SessionSerializer(many=True), **error_responses(401)})
class SessionListView(ListAPIView[UserSession]):
    """Your live sessions, newest first."""

    authentication_classes = (LiveSessionAuthentication,)
    serializer_class = serializers.SessionSerializer
    pagination_class = SessionPagination
    queryset = UserSession.objects.none()

    def get_queryset(self) -> Any:
        return selectors.session_list(user_id=principal_of(self.request).user_id, now=timezone.now())

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "session_id": getattr(self.request.user, "session_id", None)}


@extend_schema(tags=["Sessions"])
class SessionEndView(IdempotentMutations, AccountView):
    @extend_schema(
        responses={204: OpenApiResponse(description="Ended; no body."), **error_responses(401, 404, 409)}, request=None
    )
    def delete(self, request: Request, session_id: UUID) -> Response:
        """End one of your sessions; the present one too."""
        session_end(
            session_id=session_id,
            user_id=principal_of(request).user_id,
            ending=UserSession.Ending.ENDED_BY_USER,
            now=timezone.now(),
        )
        return Response(status=204)
