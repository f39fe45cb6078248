"""Two-factor log-in. Secrets and recovery codes are answered once and kept nowhere: no Idempotency-Key on those."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.throttles import PasswordAttemptThrottle, StepUpAttemptThrottle
from apps.accounts.api.views.base import AccountView, tokens_response
from apps.accounts.services.mfa import mfa_confirm, mfa_disable, mfa_set_up
from apps.accounts.services.step_up import step_up
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


@extend_schema(tags=["Two-factor log-in"])
class StepUpView(AccountView):
    throttle_classes = (StepUpAttemptThrottle,)

    @operation(
        body=serializers.StepUpSerializer,
        responses={200: serializers.StepUpTokenSerializer, **error_responses(401, 403, 429)},
    )
    def post(self, request: Request) -> Response:
        """Prove the second factor again, for calls that put real money at risk.

        The answer is an access token to send with those calls within five minutes; a refreshed token has no step-up.
        401 `otp_invalid`; 403 `mfa_required` where two-factor log-in is off. After five failures 429
        `too_many_attempts` for 15 minutes; log-in is not affected.
        """
        caller = principal_of(request)
        assert caller.session_id is not None  # LiveSessionAuthentication refuses a token without one
        proof = step_up(user_id=caller.user_id, session_id=caller.session_id, **self.body, now=timezone.now())
        return tokens_response(serializers.StepUpTokenSerializer(proof).data)
