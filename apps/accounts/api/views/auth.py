"""Registering, logging in and out, passwords that were forgotten."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers, throttles
from apps.accounts.api.views.base import OpenView, session_of, tokens_response
from apps.accounts.client_info import client_info_of
from apps.accounts.models import UserSession
from apps.accounts.services.login import user_log_in
from apps.accounts.services.passwords import password_forgot, password_reset
from apps.accounts.services.profile import email_verify
from apps.accounts.services.registration import user_register
from apps.accounts.services.sessions import session_end, session_log_out, session_refresh
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses

NOTHING = OpenApiResponse(description="Done; no body.")
ASKED = "If there is an account with this address, a mail is on its way."


@extend_schema(tags=["Log-in"])
class UserRegisterView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.RegisterThrottle,)

    @operation(
        body=serializers.RegisterSerializer,
        responses={201: serializers.RegistrationSerializer, **error_responses(409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Open an account.

        The answer is the same for an address that is taken; its owner gets a mail. The `id` then names nobody.
        """
        user = user_register(**self.body, now=timezone.now())
        return Response(serializers.RegistrationSerializer(user).data, status=201)


@extend_schema(tags=["Log-in"])
class UserLogInView(OpenView):
    throttle_classes = (throttles.LoginThrottle,)

    @operation(
        body=serializers.LoginSerializer,
        responses={200: serializers.TokenPairSerializer, **error_responses(401, 429)},
    )
    def post(self, request: Request) -> Response:
        """Log in.

        401 `invalid_credentials`, or `otp_required` where the account has two-factor log-in on. After five failures the
        account is locked for 15 minutes (429 `too_many_attempts`), whatever the password.
        """
        pair = user_log_in(**self.body, client=client_info_of(request._request), now=timezone.now())
        return tokens_response(serializers.TokenPairSerializer(pair).data)


@extend_schema(tags=["Log-in"])
class TokenRefreshView(OpenView):
    throttle_classes = (throttles.RefreshThrottle,)

    @operation(
        body=serializers.RefreshSerializer,
        responses={200: serializers.TokenPairSerializer, **error_responses(401, 409, 429)},
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair. It works once.

        A token that comes back after it was exchanged ends its whole session (401). Of two requests at once one wins,
        the other gets 409 `refresh_superseded`.
        """
        arrived_at = timezone.now()
        token = self.body["refresh"]
        pair = session_refresh(token=token, client=client_info_of(request._request), now=arrived_at)
        return tokens_response(serializers.TokenPairSerializer(pair).data)


@extend_schema(tags=["Log-in"])
class UserLogOutView(OpenView):
    throttle_classes = (throttles.RefreshThrottle,)

    @operation(
        body=serializers.LogOutSerializer,
        responses={204: NOTHING, **error_responses(401, 429)},
    )
    def post(self, request: Request) -> Response:
        """End the session of a refresh token, or without one that of the access token. Harmless to repeat."""
        token = self.body.get("refresh")
        if token is not None:
            session_log_out(token=token, now=timezone.now())
        else:
            session_end(**session_of(request), ending=UserSession.Ending.LOGGED_OUT, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["Log-in"])
class PasswordForgotView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(
        body=serializers.AddressSerializer,
        responses={202: serializers.AcceptedSerializer, **error_responses(409, 429)},
    )
    def post(self, request: Request) -> Response:
        """Ask for a mail with a code for a new password. The answer does not say whether there is an account."""
        password_forgot(**self.body, now=timezone.now())
        return Response({"message": ASKED}, status=202)


@extend_schema(tags=["Log-in"])
class PasswordResetView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(body=serializers.PasswordResetSerializer, responses={204: NOTHING, **error_responses(409, 422, 429)})
    def post(self, request: Request) -> Response:
        """Set a new password with the code from the mail. Ends every session."""
        password_reset(token=self.body["token"], new_password=self.body["password"], now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["Log-in"])
class EmailVerifyView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(body=serializers.MailedTokenSerializer, responses={204: NOTHING, **error_responses(409, 422, 429)})
    def post(self, request: Request) -> Response:
        """Confirm an e-mail address with the code from the mail."""
        email_verify(**self.body, now=timezone.now())
        return Response(status=204)
