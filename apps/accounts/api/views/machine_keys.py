"""Machine keys. A key is answered once, when it is made, and kept nowhere: no Idempotency-Key there."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.pagination import SessionPagination
from apps.accounts.api.serializers_machine_keys import (
    MachineKeyCreateSerializer,
    MachineKeySerializer,
    NewMachineKeySerializer,
)
from apps.accounts.api.views.base import LogInView, tokens_response
from apps.accounts.services.machine_keys import machine_key_create, machine_key_list, machine_key_revoke
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedView
from apps.core.identity.access import TRADERS
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Machine keys"])
class MachineKeyListView(PagedView, LogInView):
    pagination_class = SessionPagination
    access = TRADERS

    @operation(responses={200: MachineKeySerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """Your machine keys that are good, newest first. The keys themselves are not shown again."""
        return self.page_of(
            machine_key_list(user_id=principal_of(request).user_id, now=timezone.now()), MachineKeySerializer
        )

    @operation(
        body=MachineKeyCreateSerializer,
        responses={201: NewMachineKeySerializer, **error_responses(401, 403, 409, 422)},
        location=True,
    )
    def post(self, request: Request) -> Response:
        """Make a machine key for scripts: `Authorization: Bearer mk_…` in place of an access token.

        `key` is shown this once. It needs a verified e-mail address (403 `email_not_verified`); the scope `trade:live`
        also needs a step-up of the last five minutes (403 `step_up_required`, `mfa_required`), and the key then passes
        the gates before live trading without another. 409 `too_many_machine_keys` beyond 20.
        """
        caller = principal_of(request)
        made = machine_key_create(user_id=caller.user_id, assurance=caller.assurance, now=timezone.now(), **self.body)
        response = tokens_response(NewMachineKeySerializer(made).data, status=201)
        response["Location"] = f"{request.path}/{made.row.id}"
        return response


@extend_schema(tags=["Machine keys"])
class MachineKeyView(IdempotentMutations, LogInView):
    access = TRADERS

    @operation(responses={204: OpenApiResponse(description="Revoked; no body."), **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revoke a machine key. Every service refuses it within five seconds."""
        machine_key_revoke(key_id=key_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(status=204)
