"""What goes in and out. Passwords are never trimmed, and never go out."""

import json
import zoneinfo
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.addresses import MAX_LENGTH, normalize_email
from apps.accounts.models import User, UserSession
from apps.core.api.fields import OBJECT, ONE_LINE
from apps.core.api.requests import QuerySerializer, RequestSerializer
from apps.core.principal import Role

# Longer ones only cost time to hash.
MAX_PASSWORD_LENGTH = 256


@extend_schema_field(OpenApiTypes.EMAIL)
class AddressField(serializers.CharField):
    """An e-mail address in the form in which it is stored."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, **options)

    def to_internal_value(self, data: Any) -> str:
        try:
            return normalize_email(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


@extend_schema_field({"type": "string", "format": "password", "writeOnly": True})
class PasswordField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False, write_only=True, **options)


@extend_schema_field({"type": "string", "examples": ["Europe/Berlin"]})
class TimeZoneField(serializers.CharField):
    """An IANA name."""

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in zoneinfo.available_timezones():
            raise serializers.ValidationError("This is not an IANA time zone such as Europe/Berlin.")
        return name


class NameField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=120, allow_blank=True, validators=[ONE_LINE], **options)


class OtpField(serializers.CharField):
    """Six digits, or a recovery code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=24, validators=[RegexValidator(r"^[0-9A-Za-z -]*$", "Not a code.")], **options)


class RegisterSerializer(RequestSerializer):
    email = AddressField()
    password = PasswordField()
    name = NameField(required=False, default="")


class LoginSerializer(RequestSerializer):
    email = AddressField()
    password = PasswordField()
    otp = OtpField(required=False, allow_blank=True, default="")


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="A bearer token, good for ten minutes.")
    refresh = serializers.CharField(help_text="Good once: it is exchanged for the next pair.")


class RefreshSerializer(RequestSerializer):
    refresh = serializers.CharField(max_length=4096, write_only=True)


class LogOutSerializer(RequestSerializer):
    refresh = serializers.CharField(
        max_length=4096, write_only=True, required=False, help_text="Without it, the session of the access token ends."
    )


class AddressSerializer(RequestSerializer):
    email = AddressField()


class MailedTokenSerializer(RequestSerializer):
    token = serializers.CharField(max_length=100, write_only=True)


class PasswordResetSerializer(MailedTokenSerializer):
    password = PasswordField()


class PasswordChangeSerializer(RequestSerializer):
    current_password = PasswordField()
    new_password = PasswordField()


class AcceptedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class MfaSetupSerializer(RequestSerializer):
    password = PasswordField()


class MfaSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Base32, for typing in by hand.")
    otpauth_uri = serializers.CharField(help_text="What the QR code for an authenticator app holds.")


class MfaConfirmSerializer(RequestSerializer):
    otp = OtpField()


class MfaDisableSerializer(RequestSerializer):
    password = PasswordField()
    otp = OtpField()


class StepUpSerializer(RequestSerializer):
    otp = serializers.CharField(
        validators=[RegexValidator(r"^\d{6}$", "Six digits.")],
        max_length=6,
        help_text="Of the authenticator. Recovery codes are for log-in only.",
    )


class StepUpTokenSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="A bearer token of the same session that carries the step-up.")
    expires_at = serializers.DateTimeField(help_text="When the token expires.")
    step_up_expires_at = serializers.DateTimeField(help_text="Until when the step-up counts; then step up again.")


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(child=serializers.CharField(), help_text="Each works once. Shown this once.")


class RegistrationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    time_zone = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(Role)))
    created_at = serializers.DateTimeField()


class UserSerializer(serializers.ModelSerializer[User]):
    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(Role)))

    class Meta:
        model = User
        fields = ["id", "email", "email_verified_at", "name", "time_zone", "roles", "created_at"]


class StaffUserSerializer(UserSerializer):
    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "is_active", "last_login"]


class ProfileSerializer(RequestSerializer):
    name = NameField(required=False)
    time_zone = TimeZoneField(required=False)


class StaffChangesSerializer(ProfileSerializer):
    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(Role)), required=False, max_length=10)
    is_active = serializers.BooleanField(required=False)


class UserFilterSerializer(QuerySerializer):
    email = serializers.CharField(required=False, default="", help_text="Any part of the address.")
    role = serializers.ChoiceField(choices=list(Role), required=False, default="")
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)


class SessionSerializer(serializers.ModelSerializer[UserSession]):
    is_current = serializers.SerializerMethodField(help_text="The session of the token that asks.")

    class Meta:
        model = UserSession
        fields = [
            "id",
            "method",
            "created_at",
            "last_used_at",
            "expires_at",
            "address",
            "user_agent",
            "is_current",
        ]

    def get_is_current(self, session: UserSession) -> bool:
        return bool(session.id == self.context["session_id"])


class ActivitySerializer(serializers.Serializer[Any]):
    """An event as the platform's log keeps it."""

    id = serializers.UUIDField(source="event_id")
    type = serializers.CharField(source="event_type")
    occurred_at = serializers.DateTimeField()
    aggregate_type = serializers.CharField()
    aggregate_id = serializers.UUIDField()
    correlation_id = serializers.UUIDField(help_text="One for everything that a request set off.")
    payload = serializers.SerializerMethodField()

    @OBJECT
    def get_payload(self, event: Any) -> Any:
        return json.loads(bytes(event.payload))
