"""Two-factor log-in. Secrets and recovery codes are answered once and kept nowhere: no Idempotency-Key on those."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.throttles import PasswordAttemptThrottle
from apps.accounts.api.views.base import AccountView, tokens_response
from apps.accounts.services.mfa import mfa_confirm, mfa_disable, mfa_set_up
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.principal import principal_of


@extend_schema(tags=["Two-factor log-in"])
class MfaSetUpView(AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaSetupSerializer,
        responses={200: serializers.MfaSecretSerializer, **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Get a secret for an authenticator app. Nothing changes at log-in until it is confirmed."""
        setup = mfa_set_up(user_id=principal_of(request).user_id, **self.body, now=timezone.now())
        return tokens_response(serializers.MfaSecretSerializer(setup).data)


@extend_schema(tags=["Two-factor log-in"])
class MfaConfirmView(AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaConfirmSerializer,
        responses={200: serializers.RecoveryCodesSerializer, **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Switch it on with the app's first one-time password, and get the recovery codes."""
        codes = mfa_confirm(user_id=principal_of(request).user_id, **self.body, now=timezone.now())
        return tokens_response({"recovery_codes": codes})


@extend_schema(tags=["Two-factor log-in"])
class MfaDisableView(IdempotentMutations, AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaDisableSerializer,
        responses={204: OpenApiResponse(description="Off; no body."), **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Switch it off, with the password and a one-time password or recovery code."""
        mfa_disable(user_id=principal_of(request).user_id, **self.body, now=timezone.now())
        return Response(status=204)
