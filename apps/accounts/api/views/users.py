"""One's own account, and everybody's for staff."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.api import serializers
from apps.accounts.api.pagination import ActivityPagination
from apps.accounts.api.permissions import IsUserStaff
from apps.accounts.api.throttles import PasswordAttemptThrottle
from apps.accounts.api.views.base import AccountView
from apps.accounts.services.passwords import password_change
from apps.accounts.services.profile import profile_update
from apps.accounts.services.staff import user_update_by_staff
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedView
from apps.core.principal import principal_of
from apps.events.store.selectors import user_events


@extend_schema(tags=["Account"])
class UserMeView(IdempotentMutations, AccountView):
    @operation(responses={200: serializers.UserSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Your account."""
        user = selectors.user_get(user_id=principal_of(request).user_id)
        return Response(serializers.UserSerializer(user).data)

    @operation(
        body=serializers.ProfileSerializer, responses={200: serializers.UserSerializer, **error_responses(401, 409)}
    )
    def patch(self, request: Request) -> Response:
        """Change your name or time zone."""
        user = profile_update(user_id=principal_of(request).user_id, changes=self.body, now=timezone.now())
        return Response(serializers.UserSerializer(user).data)


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

    @operation(responses={200: serializers.ActivitySerializer(many=True), **error_responses(401)})
    def get(self, request: Request) -> Response:
        """What happened to your account, your keys and your bots, newest first: the platform's own log of you."""
        return self.page_of(user_events(user_id=principal_of(request).user_id), serializers.ActivitySerializer)


@extend_schema(tags=["Staff"])
class UserListView(PagedView, AccountView):
    permission_classes = (IsAuthenticated, IsUserStaff)

    @operation(
        query=serializers.UserFilterSerializer,
        responses={200: serializers.StaffUserSerializer(many=True), **error_responses(401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Every account, for the roles admin and support."""
        return self.page_of(selectors.user_list(**self.query), serializers.StaffUserSerializer)


@extend_schema(tags=["Staff"])
class UserView(IdempotentMutations, AccountView):
    permission_classes = (IsAuthenticated, IsUserStaff)

    @operation(responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, user_id: UUID) -> Response:
        """An account, for the roles admin and support."""
        return Response(serializers.StaffUserSerializer(selectors.user_get(user_id=user_id)).data)

    @operation(
        body=serializers.StaffChangesSerializer,
        responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404, 409)},
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
