"""See and end sessions."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.api import serializers
from apps.accounts.api.pagination import SessionPagination
from apps.accounts.api.views.base import LogInView
from apps.accounts.models import UserSession
from apps.accounts.services.sessions import session_end
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedView
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Sessions"])
class SessionListView(PagedView, LogInView):
    pagination_class = SessionPagination

    @operation(responses={200: serializers.SessionSerializer(many=True), **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Your live sessions, newest first."""
        caller = principal_of(request)
        return self.page_of(
            selectors.session_list(user_id=caller.user_id, now=timezone.now()),
            serializers.SessionSerializer,
            context={"session_id": caller.session_id},
        )


@extend_schema(tags=["Sessions"])
class SessionEndView(IdempotentMutations, LogInView):
    @operation(
        responses={204: OpenApiResponse(description="Ended; no body."), **error_responses(401, 404, 409)},
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
