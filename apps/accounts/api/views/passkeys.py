"""Passkeys. Answers with tokens or recovery codes are kept nowhere: no Idempotency-Key on those calls."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.api import passkey_serializers, serializers, throttles
from apps.accounts.api.pagination import SessionPagination
from apps.accounts.api.views.base import LogInView, OpenView, caller_of, tokens_response
from apps.accounts.services.passkeys.management import passkey_remove, passkey_rename
from apps.accounts.services.passkeys.proof import passkey_log_in, passkey_log_in_options, passkey_step_up_options
from apps.accounts.services.passkeys.registration import passkey_register, passkey_registration_options
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedView
from apps.core.identity.client_info import client_info_of
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Passkeys"])
class PasskeyRegisterOptionsView(LogInView):
    @operation(
        responses={200: passkey_serializers.CreationOptionsSerializer, **error_responses(401, 403, 409, 422)},
    )
    def post(self, request: Request) -> Response:
        """Begin to add a passkey.

        Needs a verified e-mail address (403 `email_not_verified`) and a step-up (403 `step_up_required`). The challenge
        is good for one answer of this session, within five minutes.
        """
        caller = caller_of(request)
        options = passkey_registration_options(**caller, assurance=principal_of(request).assurance, now=timezone.now())
        return tokens_response({"public_key": options})


@extend_schema(tags=["Passkeys"])
class PasskeyRegisterView(LogInView):
    @operation(
        body=passkey_serializers.PasskeyRegisterSerializer,
        responses={201: passkey_serializers.RegisteredPasskeySerializer, **error_responses(401, 403, 409, 422)},
        location=True,
    )
    def post(self, request: Request) -> Response:
        """Add the passkey that the browser made. The first second factor of an account comes with recovery codes."""
        made = passkey_register(**caller_of(request), **self.body, now=timezone.now())
        answer = tokens_response(passkey_serializers.RegisteredPasskeySerializer(made).data, status=201)
        answer["Location"] = f"/api/v1/auth/passkeys/{made.passkey.id}"
        return answer


@extend_schema(tags=["Passkeys"])
class PasskeyLogInOptionsView(OpenView):
    throttle_classes = (throttles.PasskeyThrottle,)

    @operation(responses={200: passkey_serializers.RequestOptionsSerializer, **error_responses(422, 429)})
    def post(self, request: Request) -> Response:
        """Begin to log in with a passkey. The challenge is good for one answer within five minutes."""
        return tokens_response({"public_key": passkey_log_in_options(now=timezone.now())})


@extend_schema(tags=["Passkeys"])
class PasskeyLogInView(OpenView):
    throttle_classes = (throttles.PasskeyThrottle,)

    @operation(
        body=passkey_serializers.PasskeyLogInSerializer,
        responses={200: serializers.LogInSerializer, **error_responses(401, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Log in with a passkey. It counts as two factors: no password, no one-time password. 401 `passkey_refused`."""
        log_in = passkey_log_in(**self.body, client=client_info_of(request._request), now=timezone.now())
        return tokens_response(serializers.LogInSerializer(log_in).data)


@extend_schema(tags=["Passkeys"])
class PasskeyStepUpOptionsView(LogInView):
    @operation(responses={200: passkey_serializers.RequestOptionsSerializer, **error_responses(401, 422)})
    def post(self, request: Request) -> Response:
        """Begin a step-up with one of your passkeys; POST /auth/step-up takes the answer as `passkey`.

        401 `passkey_refused` where you have none.
        """
        options = passkey_step_up_options(**caller_of(request), now=timezone.now())
        return tokens_response({"public_key": options})


@extend_schema(tags=["Passkeys"])
class PasskeyListView(PagedView, LogInView):
    pagination_class = SessionPagination

    @operation(responses={200: passkey_serializers.PasskeySerializer(many=True), **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Your passkeys, newest first."""
        rows = selectors.passkey_list(user_id=principal_of(request).user_id)
        return self.page_of(rows, passkey_serializers.PasskeySerializer)


@extend_schema(tags=["Passkeys"])
class PasskeyView(IdempotentMutations, LogInView):
    @operation(responses={200: passkey_serializers.PasskeySerializer, **error_responses(401, 404)})
    def get(self, request: Request, passkey_id: UUID) -> Response:
        """One of your passkeys."""
        passkey = selectors.passkey_get(user_id=principal_of(request).user_id, passkey_id=passkey_id)
        return Response(passkey_serializers.PasskeySerializer(passkey).data)

    @operation(
        body=passkey_serializers.PasskeyNameSerializer,
        responses={200: passkey_serializers.PasskeySerializer, **error_responses(401, 404, 409)},
    )
    def patch(self, request: Request, passkey_id: UUID) -> Response:
        """Rename a passkey."""
        passkey = passkey_rename(
            user_id=principal_of(request).user_id, passkey_id=passkey_id, **self.body, now=timezone.now()
        )
        return Response(passkey_serializers.PasskeySerializer(passkey).data)

    @operation(responses={204: OpenApiResponse(description="Removed; no body."), **error_responses(401, 403, 404, 409)})
    def delete(self, request: Request, passkey_id: UUID) -> Response:
        """Remove a passkey. Needs a step-up.

        409 `last_second_factor` for the only second factor: POST /auth/mfa/disable removes that.
        """
        caller = principal_of(request)
        passkey_remove(user_id=caller.user_id, passkey_id=passkey_id, assurance=caller.assurance, now=timezone.now())
        return Response(status=204)
