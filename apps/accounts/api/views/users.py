"""One's own account, and everybody's for staff."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import InvalidToken

from apps.accounts import selectors
from apps.accounts.activity import activity_entries
from apps.accounts.api import serializers
from apps.accounts.api.pagination import ActivityPagination
from apps.accounts.api.serializers_activity import ActivitySerializer
from apps.accounts.api.throttles import PasswordAttemptThrottle
from apps.accounts.api.views.base import AccountView, caller_of
from apps.accounts.models import User
from apps.accounts.services.closure import account_close
from apps.accounts.services.email_change import email_change_request
from apps.accounts.services.passwords import password_change
from apps.accounts.services.profile import profile_update
from apps.accounts.services.staff import user_update_by_staff
from apps.core.api.answers import shown
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import AbandonQuerySerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedView
from apps.core.identity.access import USER_STAFF
from apps.core.identity.principal import PrincipalAuthentication, principal_of
from apps.events.store.selectors import user_events


@extend_schema(tags=["Account"])
class UserMeView(IdempotentMutations, AccountView):
    # A closure asks the kraken service.
    idempotency_around_io = True

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Reading looks for the session in the statement that finds the account."""
        request: Any = self.request  # None while the OpenAPI document is made
        return [PrincipalAuthentication()] if request and request.method == "GET" else super().get_authenticators()

    @operation(responses={200: serializers.MeSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Your account."""
        return Response(shown(serializers.MeSerializer, _own_account(request)))

    @operation(
        body=serializers.ProfileSerializer,
        responses={200: serializers.MeSerializer, **error_responses(401, 409, 422)},
        immutable={"password": "POST /api/v1/user/me/password changes it."},
    )
    def patch(self, request: Request) -> Response:
        """Change your name or time zone."""
        profile_update(user_id=principal_of(request).user_id, changes=self.body, now=timezone.now())
        return Response(shown(serializers.MeSerializer, _own_account(request)))

    @operation(
        query=AbandonQuerySerializer,
        responses={202: serializers.ClosureSerializer, **error_responses(401, 403, 409)},
    )
    def delete(self, request: Request) -> Response:
        """Close your account for good. Needs a step-up.

        Every session, machine key and passkey ends at once, your bots send no order any more, and your personal data is
        erased. Bots are then stopped and deleted and exchange keys disconnected; the answer says what remains to be
        done. 409 `closure_barred` where bots hold coins or have orders, unless you say `abandon=true`.
        """
        caller = principal_of(request)
        closure = account_close(
            user_id=caller.user_id,
            assurance=caller.assurance,
            abandon=self.query["abandon"],
            now=timezone.now(),
        )
        return Response(serializers.ClosureSerializer(closure).data, status=202)


def _own_account(request: Request) -> User:
    caller = principal_of(request)
    account = selectors.own_account(user_id=caller.user_id, session_id=caller.session_id, now=timezone.now())
    if account is None:
        raise InvalidToken("The session has ended.")
    return account


@extend_schema(tags=["Account"])
class EmailChangeView(IdempotentMutations, AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.EmailChangeRequestSerializer,
        responses={202: serializers.EmailChangeSerializer, **error_responses(401, 403, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Ask to change your e-mail address. It changes when the new address confirms with the code from the mail.

        With two-factor log-in on, send an access token with a step-up (403 `step_up_required`), otherwise the password.
        The old address gets a code that takes the change back for 72 hours. The answer is the same for an address
        that has an account; its owner gets a mail.
        """
        change = email_change_request(
            **caller_of(request),
            new_email=self.body["email"],
            password=self.body.get("password", ""),
            assurance=principal_of(request).assurance,
            now=timezone.now(),
        )
        return Response(serializers.EmailChangeSerializer(change).data, status=202)


@extend_schema(tags=["Account"])
class PasswordChangeView(IdempotentMutations, AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @operation(
        body=serializers.PasswordChangeSerializer,
        responses={204: OpenApiResponse(description="Changed; no body."), **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Change your password. Ends your other sessions."""
        caller = principal_of(request)
        password_change(user_id=caller.user_id, session_id=caller.session_id, **self.body, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["Account"])
class UserActivityView(PagedView, AccountView):
    pagination_class = ActivityPagination

    @operation(responses={200: ActivitySerializer(many=True), **error_responses(401)})
    def get(self, request: Request) -> Response:
        """What happened to your account, your keys and your bots, newest first: the platform's own log of you.

        Each entry has the network address and the device of the request that caused it. Where on earth an address is
        the platform does not know.
        """
        user_id = principal_of(request).user_id
        return self.page_of(
            user_events(user_id=user_id),
            ActivitySerializer,
            prepare=lambda events: activity_entries(events, user_id=user_id),
        )


@extend_schema(tags=["Staff"])
class UserListView(PagedView, AccountView):
    access = USER_STAFF

    @operation(
        query=serializers.UserFilterSerializer,
        responses={200: serializers.StaffUserSerializer(many=True), **error_responses(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Every account, for the roles admin and support."""
        return self.page_of(selectors.user_list(**self.query), serializers.StaffUserSerializer)


@extend_schema(tags=["Staff"])
class UserView(IdempotentMutations, AccountView):
    access = USER_STAFF

    @operation(responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, user_id: UUID) -> Response:
        """An account, for the roles admin and support."""
        return Response(serializers.StaffUserSerializer(selectors.user_get(user_id=user_id)).data)

    @operation(
        body=serializers.StaffChangesSerializer,
        responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404, 409, 422)},
        immutable={"password": "The account's owner sets a new one with POST /api/v1/auth/password/forgot."},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Change an account. Roles and `is_active` are the admin's to change, and end its sessions."""
        staff = principal_of(request)
        user = user_update_by_staff(
            user_id=user_id,
            changes=self.body,
            staff_id=staff.user_id,
            staff_roles=staff.roles,
            now=timezone.now(),
        )
        return Response(serializers.StaffUserSerializer(user).data)
