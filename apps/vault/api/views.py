"""Exchange keys over HTTP: each view translates in, makes one call, translates out."""

from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.requests import AbandonQuerySerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedTraderView, TraderView
from apps.core.identity.principal import principal_of
from apps.vault import selectors
from apps.vault.api.serializers import (
    AccountBalancesSerializer,
    KeyConnectSerializer,
    KeyInfoSerializer,
    KeyRotateSerializer,
    LabelSerializer,
)
from apps.vault.services.connect import credential_connect
from apps.vault.services.keys import credential_balances, credential_disconnect, credential_rename
from apps.vault.services.verify import credential_rotate, credential_verify

_ROTATE = "POST /api/v1/kraken/keys/{id}/rotate replaces it."


class ExchangeKeyView(TraderView):
    """A view whose work waits for an exchange."""

    idempotency_around_io = True


@extend_schema(tags=["Exchange keys"])
class KeyConnectView(ExchangeKeyView):
    @operation(
        body=KeyConnectSerializer,
        responses={201: KeyInfoSerializer, **error_responses(401, 403, 409, 422, 429)},
        location=True,
    )
    def post(self, request: Request) -> Response:
        """Connects a key after testing it, or opens a paper account. A key that may withdraw is refused.

        A live key needs live trading to be on, a verified e-mail address, two-factor log-in and a step-up of the last
        five minutes; 403 `live_gate_unmet` names each that is missing in `details.gates`, and how to meet it.
        """
        caller = principal_of(request)
        credential = credential_connect(
            user_id=caller.user_id, assurance=caller.assurance, now=timezone.now(), **self.body
        )
        location = reverse("exchange-key", args=[credential.id])
        return Response(KeyInfoSerializer(credential).data, status=201, headers={"Location": location})


@extend_schema(tags=["Exchange keys"])
class KeyListView(PagedTraderView):
    @operation(responses={200: KeyInfoSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """Your connected keys, newest first."""
        keys = selectors.credential_list(user_id=principal_of(request).user_id)
        return self.page_of(keys, KeyInfoSerializer)


@extend_schema(tags=["Exchange keys"])
class KeyDetailView(TraderView):
    @operation(responses={200: KeyInfoSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """The key's info: permissions, expiry, IP list."""
        credential = selectors.credential_get(credential_id=key_id, user_id=principal_of(request).user_id)
        return Response(KeyInfoSerializer(credential).data)

    @operation(
        body=LabelSerializer,
        responses={200: KeyInfoSerializer, **error_responses(401, 403, 404, 409, 422)},
        immutable={
            "mode": "Connect a key of the other mode with POST /api/v1/kraken/connect.",
            "api_key": _ROTATE,
            "api_secret": _ROTATE,
            "state": "POST /api/v1/kraken/keys/{id}/test asks the exchange again.",
        },
    )
    def patch(self, request: Request, key_id: UUID) -> Response:
        """Renames the key. Nothing else of it can be changed by this call: 422 `field_is_immutable`."""
        credential = credential_rename(
            credential_id=key_id,
            user_id=principal_of(request).user_id,
            now=timezone.now(),
            **self.body,
        )
        return Response(KeyInfoSerializer(credential).data)

    @operation(query=AbandonQuerySerializer, responses={204: None, **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Disconnects the key and destroys its secret. Revoke it at the exchange, too.

        409 `key_in_use` while bots of the key run, have orders or hold coins. Stop or flatten them first, or give the
        coins of stopped bots up with `abandon=true`.
        """
        credential_disconnect(
            credential_id=key_id,
            user_id=principal_of(request).user_id,
            reason="Disconnected by its owner.",
            now=timezone.now(),
            **self.query,
        )
        return Response(status=204)


@extend_schema(tags=["Exchange keys"])
class KeyTestView(ExchangeKeyView):
    @operation(responses={200: KeyInfoSerializer, **error_responses(401, 403, 404, 409, 422, 429)})
    def post(self, request: Request, key_id: UUID) -> Response:
        """Asks the exchange again what the key is and may do. One that fails is suspended."""
        credential = credential_verify(credential_id=key_id, user_id=principal_of(request).user_id, now=timezone.now())
        return Response(KeyInfoSerializer(credential).data)


@extend_schema(tags=["Exchange keys"])
class KeyRotateView(ExchangeKeyView):
    @operation(
        body=KeyRotateSerializer,
        responses={200: KeyInfoSerializer, **error_responses(401, 403, 404, 409, 422, 429)},
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        """Replaces a live key by a new one of the same exchange account, after testing it.

        That it is the same account is proved by an order, trade or ledger entry that the old key saw. 409
        `account_not_proved` where the new key does not know it, and where nothing is known while bots depend on the
        key.


        It has the gates of connecting a live key: 403 `live_gate_unmet`.
        """
        caller = principal_of(request)
        credential = credential_rotate(
            credential_id=key_id,
            user_id=caller.user_id,
            assurance=caller.assurance,
            now=timezone.now(),
            **self.body,
        )
        return Response(KeyInfoSerializer(credential).data)


@extend_schema(tags=["Exchange keys"])
class KeyBalancesView(TraderView):
    @operation(responses={200: AccountBalancesSerializer, **error_responses(401, 403, 404, 409, 422, 429)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """What the account behind the key holds now."""
        user_id, now = principal_of(request).user_id, timezone.now()
        balances = credential_balances(credential_id=key_id, user_id=user_id, now=now)
        mode = selectors.credential_get(credential_id=key_id, user_id=user_id).mode
        return Response(AccountBalancesSerializer({"as_of": now, "mode": mode, "balances": balances}).data)
