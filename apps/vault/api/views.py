"""Exchange keys over HTTP: each view translates in, makes one call, translates out."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.pagination import NewestFirstPagination
from apps.core.api.schema import error_responses
from apps.core.principal import IsTrader, principal_of
from apps.vault import selectors
from apps.vault.api.serializers import (
    BalancesSerializer,
    KeyConnectSerializer,
    KeyRotateSerializer,
    LabelSerializer,
    PassportSerializer,
)
from apps.vault.services.connect import credential_connect
from apps.vault.services.keys import credential_balances, credential_disconnect, credential_rename
from apps.vault.services.verify import credential_rotate, credential_verify


class KeyView(IdempotentMutations, APIView):
    permission_classes = (IsTrader,)


class ExchangeKeyView(KeyView):
    """A view whose work waits for an exchange."""

    idempotency_around_io = True


@extend_schema(tags=["Exchange keys"])
class KeyConnectView(ExchangeKeyView):
    @extend_schema(
        request=KeyConnectSerializer, responses={201: PassportSerializer, **error_responses(401, 403, 409, 422, 429)}
    )
    def post(self, request: Request) -> Response:
        """Connects a key after testing it, or opens a paper account. A key that may withdraw is refused."""
        wanted = _valid(KeyConnectSerializer, request)
        user_id = principal_of(request).user_id
        credential = credential_connect(user_id=user_id, now=timezone.now(), **wanted)
        location = reverse("exchange-key", args=[credential.id])
        return Response(PassportSerializer(credential).data, status=201, headers={"Location": location})


@extend_schema(tags=["Exchange keys"])
class KeyListView(KeyView):
    @extend_schema(responses={200: PassportSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """Your connected keys, newest first."""
        pages = NewestFirstPagination()
        keys = selectors.credential_list(user_id=principal_of(request).user_id)
        rows = pages.paginate_queryset(keys, request, self)
        return pages.get_paginated_response(PassportSerializer(rows or [], many=True).data)


@extend_schema(tags=["Exchange keys"])
class KeyDetailView(KeyView):
    @extend_schema(responses={200: PassportSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """The key's passport."""
        credential = selectors.credential_get(credential_id=key_id, user_id=principal_of(request).user_id)
        return Response(PassportSerializer(credential).data)

    @extend_schema(request=LabelSerializer, responses={200: PassportSerializer, **error_responses(401, 403, 404, 409)})
    def patch(self, request: Request, key_id: UUID) -> Response:
        """Renames the key."""
        credential = credential_rename(
            credential_id=key_id,
            user_id=principal_of(request).user_id,
            now=timezone.now(),
            **_valid(LabelSerializer, request),
        )
        return Response(PassportSerializer(credential).data)

    @extend_schema(request=None, responses={204: None, **error_responses(401, 403, 404)})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Disconnects the key and destroys its secret. Revoke it at the exchange, too."""
        credential_disconnect(
            credential_id=key_id,
            user_id=principal_of(request).user_id,
            reason="Disconnected by its owner.",
            now=timezone.now(),
        )
        return Response(status=204)


@extend_schema(tags=["Exchange keys"])
class KeyTestView(ExchangeKeyView):
    @extend_schema(request=None, responses={200: PassportSerializer, **error_responses(401, 403, 404, 409, 422, 429)})
    def post(self, request: Request, key_id: UUID) -> Response:
        """Asks the exchange again what the key is and may do. One that fails is suspended."""
        credential = credential_verify(credential_id=key_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(PassportSerializer(credential).data)


@extend_schema(tags=["Exchange keys"])
class KeyRotateView(ExchangeKeyView):
    @extend_schema(
        request=KeyRotateSerializer,
        responses={200: PassportSerializer, **error_responses(401, 403, 404, 409, 422, 429)},
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        """Replaces a live key by a new one of the same exchange account, after testing it."""
        credential = credential_rotate(
            credential_id=key_id,
            user_id=principal_of(request).user_id,
            now=timezone.now(),
            **_valid(KeyRotateSerializer, request),
        )
        return Response(PassportSerializer(credential).data)


@extend_schema(tags=["Exchange keys"])
class KeyBalancesView(KeyView):
    @extend_schema(responses={200: BalancesSerializer, **error_responses(401, 403, 404, 409, 422, 429)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """What the account behind the key holds now."""
        user_id, now = principal_of(request).user_id, timezone.now()
        balances = credential_balances(credential_id=key_id, user_id=user_id, now=now)
        mode = selectors.credential_get(credential_id=key_id, user_id=user_id).mode
        return Response(BalancesSerializer({"as_of": now, "mode": mode, "balances": balances}).data)


def _valid(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    fields: dict[str, Any] = body.validated_data
    return fields
