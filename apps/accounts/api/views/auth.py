"""Registering, logging in and out, passwords that were forgotten."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers, throttles
from apps.accounts.api.views.base import LogInView, OpenView, caller_or_nobody, session_of, tokens_response
from apps.accounts.models import UserSession
from apps.accounts.services.email_change import email_change_confirm, email_change_revert
from apps.accounts.services.email_verification import email_verification_resend, email_verify
from apps.accounts.services.login import user_log_in
from apps.accounts.services.passwords import password_forgot, password_reset
from apps.accounts.services.registration import user_register
from apps.accounts.services.sessions import session_end, session_log_out, session_refresh
from apps.core.api.idempotency import HEADER, REPLAYED, IdempotentMutations, idempotency_key_of
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.identity.client_info import client_info_of
from apps.core.identity.principal import principal_of

NOTHING = OpenApiResponse(description="Done; no body.")
NEW_ACCOUNT = "The address is yours. A mail with a code is on its way: set a password with it, then log in."
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
        responses={200: serializers.LogInSerializer, **error_responses(401, 429)},
    )
    def post(self, request: Request) -> Response:
        """Log in.

        401 `invalid_credentials`, or `otp_required` where the account has two-factor log-in on. After five failures at
        an account, your network is locked out of it for 15 minutes (429 `too_many_attempts`), whatever the password.
        After 100 failures in an hour every unknown device is. Send the `device_token` of an earlier log-in: then other
        people's failures do not count for you.
        """
        log_in = user_log_in(**self.body, client=client_info_of(request._request), now=timezone.now())
        return tokens_response(serializers.LogInSerializer(log_in).data)


@extend_schema(tags=["Log-in"])
class TokenRefreshView(OpenView):
    throttle_classes = (throttles.RefreshThrottle,)

    @operation(
        body=serializers.RefreshSerializer,
        responses={200: serializers.TokenPairSerializer, **error_responses(401, 409, 429)},
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for the next pair.

        Repeated within 30 seconds, or later with the same `Idempotency-Key`, the exchange is answered with the same
        next refresh token and `Idempotency-Replayed: true`, as long as that one has not been exchanged itself. A token
        that comes back in any other way ends its whole session (401).
        """
        refreshed = session_refresh(
            token=self.body["refresh"],
            client=client_info_of(request._request),
            now=timezone.now(),
            idempotency_key=idempotency_key_of(request) if request.headers.get(HEADER) else "",
        )
        response = tokens_response(serializers.TokenPairSerializer(refreshed.pair).data)
        if refreshed.is_repeated:
            response[REPLAYED] = "true"
        return response


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
        """Set a new password with the code from the mail. Ends every session, and lifts every lock of the account."""
        password_reset(
            token=self.body["token"],
            new_password=self.body["password"],
            client=client_info_of(request._request),
            now=timezone.now(),
        )
        return Response(status=204)


@extend_schema(tags=["Log-in"])
class EmailVerifyView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(
        body=serializers.EmailVerifySerializer,
        responses={200: serializers.AcceptedSerializer, 204: NOTHING, **error_responses(409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Confirm an e-mail address with the code from the mail.

        With the password of the registration, or with an access token of the account: 204. The next token has
        `email_verified`: log in or refresh. With the code alone: 200. Another person may have registered the address,
        so it gets a new account without anything that was set up before, and a mail brings a code for its password.
        """
        is_as_registered = email_verify(
            token=self.body["token"],
            password=self.body.get("password"),
            caller_id=caller_or_nobody(request),
            now=timezone.now(),
        )
        return Response(status=204) if is_as_registered else Response({"message": NEW_ACCOUNT})


@extend_schema(tags=["Log-in"])
class EmailResendView(IdempotentMutations, LogInView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(responses={202: serializers.AcceptedSerializer, **error_responses(401, 409, 429)})
    def post(self, request: Request) -> Response:
        """Ask for a new code to confirm your e-mail address. It replaces the earlier one."""
        email_verification_resend(user_id=principal_of(request).user_id, now=timezone.now())
        return Response({"message": "If the address is not confirmed yet, a mail is on its way."}, status=202)


@extend_schema(tags=["Log-in"])
class EmailChangeConfirmView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(body=serializers.MailedTokenSerializer, responses={204: NOTHING, **error_responses(409, 422, 429)})
    def post(self, request: Request) -> Response:
        """Make a change of the e-mail address, with the code that was mailed to the new one."""
        email_change_confirm(**self.body, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["Log-in"])
class EmailChangeRevertView(IdempotentMutations, OpenView):
    throttle_classes = (throttles.MailedTokenThrottle,)

    @operation(body=serializers.MailedTokenSerializer, responses={204: NOTHING, **error_responses(409, 422, 429)})
    def post(self, request: Request) -> Response:
        """Take a change of the e-mail address back, with the code that was mailed to the old one.

        Ends every session and makes the password void; a mail brings a code for a new one.
        """
        email_change_revert(**self.body, now=timezone.now())
        return Response(status=204)
