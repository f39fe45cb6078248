"""One's own account, and everybody's for staff."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors
from apps.accounts.api import serializers
from apps.accounts.api.authentication import LiveSessionAuthentication
from apps.accounts.api.pagination import ActivityPagination
from apps.accounts.api.permissions import IsUserStaff
from apps.accounts.api.throttles import PasswordAttemptThrottle
from apps.accounts.api.views.base import AccountView, valid
from apps.accounts.models import User
from apps.accounts.services.passwords import password_change
from apps.accounts.services.profile import profile_update
from apps.accounts.services.staff import user_update_by_staff
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.schema import error_responses
from apps.core.principal import principal_of
from apps.events.store.selectors import user_events


@extend_schema(tags=["Account"])
class UserMeView(IdempotentMutations, AccountView):
    @extend_schema(responses={200: serializers.UserSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Your account."""
        user = selectors.user_get(user_id=principal_of(request).user_id)
        return Response(serializers.UserSerializer(user).data)

    @extend_schema(
        request=serializers.ProfileSerializer, responses={200: serializers.UserSerializer, **error_responses(401, 409)}
    )
    def patch(self, request: Request) -> Response:
        """Change your name or time zone."""
        changes = valid(serializers.ProfileSerializer, request)
        user = profile_update(user_id=principal_of(request).user_id, changes=changes, now=timezone.now())
        return Response(serializers.UserSerializer(user).data)


@extend_schema(tags=["Account"])
class PasswordChangeView(IdempotentMutations, AccountView):
    throttle_classes = (PasswordAttemptThrottle,)

    @extend_schema(
        request=serializers.PasswordChangeSerializer,
        responses={204: OpenApiResponse(description="Changed; no body."), **error_responses(401, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Change your password. Ends your other sessions."""
        caller = principal_of(request)
        given = valid(serializers.PasswordChangeSerializer, request)
        password_change(user_id=caller.user_id, session_id=caller.session_id, **given, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["Account"], responses={200: serializers.ActivitySerializer(many=True), **error_responses(401)})
class UserActivityView(ListAPIView[Any]):
    """What happened to your account, your keys and your bots, newest first: the platform's own log of you."""

    authentication_classes = (LiveSessionAuthentication,)
    serializer_class = serializers.ActivitySerializer
    pagination_class = ActivityPagination

    def get_queryset(self) -> Any:
        return user_events(user_id=principal_of(self.request).user_id)


@extend_schema(
    tags=["Staff"],
    parameters=[serializers.UserFilterSerializer],
    responses={200: serializers.StaffUserSerializer(many=True), **error_responses(401, 403)},
)
class UserListView(ListAPIView[User]):
    """Every account, for the roles admin and support."""

    authentication_classes = (LiveSessionAuthentication,)
    permission_classes = (IsAuthenticated, IsUserStaff)
    serializer_class = serializers.StaffUserSerializer
    queryset = User.objects.none()

    def get_queryset(self) -> Any:
        wanted = serializers.UserFilterSerializer(data=self.request.query_params)
        wanted.is_valid(raise_exception=True)
        return selectors.user_list(**wanted.validated_data)


@extend_schema(tags=["Staff"])
class UserView(IdempotentMutations, AccountView):
    permission_classes = (IsAuthenticated, IsUserStaff)

    @extend_schema(responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, user_id: UUID) -> Response:
        """An account, for the roles admin and support."""
        return Response(serializers.StaffUserSerializer(selectors.user_get(user_id=user_id)).data)

    @extend_schema(
        request=serializers.StaffChangesSerializer,
        responses={200: serializers.StaffUserSerializer, **error_responses(401, 403, 404, 409)},
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Change an account. Roles and `is_active` are the admin's to change, and end its sessions."""
        staff = principal_of(request)
        user = user_update_by_staff(
            user_id=user_id,
            changes=valid(serializers.StaffChangesSerializer, request),
            staff_id=staff.user_id,
            staff_roles=staff.roles,
            now=timezone.now(),
        )
        return Response(serializers.StaffUserSerializer(user).data)
