"""Two-factor log-in. Secrets and recovery codes are answered once and kept nowhere: no Idempotency-Key on those."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.throttles import PasswordAttemptThrottle, StepUpAttemptThrottle
from apps.accounts.api.views.base import LogInView, caller_of, tokens_response
from apps.accounts.services.mfa import has_authenticator, mfa_disable, mfa_is_enabled, mfa_set_up
from apps.accounts.services.mfa_activation import mfa_switch_on
from apps.accounts.services.passkeys.proof import passkey_step_up
from apps.accounts.services.step_up import step_up, step_up_by_password, step_up_is_fresh, step_up_require
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Two-factor log-in"])
class MfaSetUpView(LogInView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaSetupSerializer,
        responses={200: serializers.MfaSecretSerializer, **error_responses(401, 403, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Get a secret for an authenticator app. Nothing changes at log-in until it is confirmed.

        403 `email_not_verified` before the e-mail address is confirmed. An account that has a passkey already needs a
        step-up besides (403 `step_up_required`).
        """
        caller, now = principal_of(request), timezone.now()
        if mfa_is_enabled(user_id=caller.user_id) and not has_authenticator(user_id=caller.user_id):
            step_up_require(user_id=caller.user_id, assurance=caller.assurance, now=now)
        setup = mfa_set_up(**caller_of(request), **self.body, now=now)
        return tokens_response(serializers.MfaSecretSerializer(setup).data)


@extend_schema(tags=["Two-factor log-in"])
class MfaConfirmView(LogInView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaConfirmSerializer,
        responses={200: serializers.RecoveryCodeListSerializer, **error_responses(401, 403, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Switch it on with the app's first one-time password, and get the recovery codes. Ends your other sessions."""
        codes = mfa_switch_on(**caller_of(request), **self.body, now=timezone.now())
        return tokens_response({"recovery_codes": codes})


@extend_schema(tags=["Two-factor log-in"])
class MfaDisableView(IdempotentMutations, LogInView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.MfaDisableSerializer,
        responses={204: OpenApiResponse(description="Off; no body."), **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Switch it off, with the password and a one-time password, recovery code or step-up.

        Removes the authenticator, every passkey and the recovery codes.
        """
        caller, now = principal_of(request), timezone.now()
        has_proof = step_up_is_fresh(user_id=caller.user_id, assurance=caller.assurance, now=now)
        mfa_disable(**caller_of(request), **self.body, has_proof=has_proof, now=now)
        return Response(status=204)


@extend_schema(tags=["Two-factor log-in"])
class StepUpView(LogInView):
    throttle_classes = (StepUpAttemptThrottle,)

    @operation(
        body=serializers.StepUpSerializer,
        responses={200: serializers.StepUpTokenSerializer, **error_responses(401, 403, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Prove again that it is you, for calls that put real money or the account at risk.

        With a one-time password, with a passkey, or, where two-factor log-in is off, with the password. The answer is
        an access token to send with those calls within five minutes; a refreshed token has no step-up. 401
        `otp_invalid` or `passkey_refused`; 422 `password_wrong`; 403 `mfa_required` without an authenticator, and
        `second_factor_required` for a password where there is a second factor. After five failures 429
        `too_many_attempts` for 15 minutes; log-in is not affected.
        """
        ((kind, given),) = self.body.items()
        caller, now = caller_of(request), timezone.now()
        if kind == "otp":
            proof = step_up(**caller, otp=given, now=now)
        elif kind == "passkey":
            proof = passkey_step_up(**caller, credential=given, now=now)
        else:
            proof = step_up_by_password(**caller, password=given, now=now)
        return tokens_response(serializers.StepUpTokenSerializer(proof).data)
