"""What goes in and out. Passwords are never trimmed, and never go out."""

import difflib
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.addresses import MAX_LENGTH, normalize_email
from apps.accounts.models import EmailChange, User, UserSession
from apps.accounts.time_zones import TIME_ZONES
from apps.core.api.answers import shown
from apps.core.api.fields import ONE_LINE, ParametersField
from apps.core.api.requests import QuerySerializer, RequestSerializer
from apps.core.identity.principal import ACCOUNT_ROLES

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


@extend_schema_field(
    {"type": "string", "format": "password", "minLength": 12, "maxLength": MAX_PASSWORD_LENGTH, "writeOnly": True}
)
class NewPasswordField(PasswordField):
    """One to be set. Its rules are the service's, which says which one is broken: 422 `password_too_weak`."""


@extend_schema_field({"type": "string", "format": "time-zone", "examples": ["Europe/Berlin"]})
class TimeZoneField(serializers.CharField):
    """An IANA name."""

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in TIME_ZONES:
            close = difflib.get_close_matches(name[:60], TIME_ZONES, n=1, cutoff=0.5)
            nearest = f"Did you mean {close[0]}?" if close else "One is Europe/Berlin."
            raise serializers.ValidationError(f"This is not an IANA time zone. {nearest}")
        return name


class NameField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=120, allow_blank=True, validators=[ONE_LINE], **options)


class OtpField(serializers.CharField):
    """Six digits, or a recovery code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=24, validators=[RegexValidator(r"^[0-9A-Za-z -]*$", "Not a code.")], **options)


class DeviceTokenField(serializers.CharField):
    def __init__(self) -> None:
        super().__init__(
            max_length=100,
            write_only=True,
            required=False,
            allow_blank=True,
            default="",
            help_text="From an earlier log-in on this device. It replaces no credential.",
        )


class RegisterSerializer(RequestSerializer):
    email = AddressField()
    password = NewPasswordField()
    name = NameField(required=False, default="")


class LoginSerializer(RequestSerializer):
    email = AddressField()
    password = PasswordField()
    otp = OtpField(required=False, allow_blank=True, default="")
    device_token = DeviceTokenField()


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="A bearer token, good for ten minutes.")
    refresh = serializers.CharField(help_text="Good once: it is exchanged for the next pair.")


class LogInSerializer(TokenPairSerializer):
    device_token = serializers.CharField(
        help_text="Keep it on this device, as a cookie that scripts cannot read, and send it with the next log-in."
    )


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


class EmailVerifySerializer(MailedTokenSerializer):
    password = PasswordField(
        required=False,
        help_text="The one of the registration; not needed with an access token.",
    )


class PasswordResetSerializer(MailedTokenSerializer):
    password = NewPasswordField()


class PasswordChangeSerializer(RequestSerializer):
    current_password = PasswordField()
    new_password = NewPasswordField()


class AcceptedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class MfaSetupSerializer(RequestSerializer):
    password = PasswordField()


class MfaSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Base32, for typing in by hand.")
    otpauth_uri = serializers.CharField(help_text="What the QR code for an authenticator app holds.")
    qr_svg = serializers.CharField(
        help_text="The QR code as an SVG element, black on white, with a view box and no size of its own."
    )


class MfaConfirmSerializer(RequestSerializer):
    otp = OtpField()


class MfaDisableSerializer(RequestSerializer):
    password = PasswordField()
    otp = OtpField(
        required=False,
        allow_blank=True,
        default="",
        help_text="Or send a token with a fresh step-up, and leave it out.",
    )


class StepUpSerializer(RequestSerializer):
    """Exactly one of the three."""

    also_documented = {"minProperties": 1, "maxProperties": 1}

    otp = serializers.CharField(
        validators=[RegexValidator(r"^\d{6}$", "Six digits.")],
        max_length=6,
        required=False,
        help_text="Of the authenticator. Recovery codes are for log-in only.",
    )
    passkey = ParametersField(
        required=False,
        help_text="The browser's answer to POST /auth/passkeys/step-up/options, as `toJSON()` gives it.",
    )
    password = PasswordField(required=False, help_text="Of an account without a second factor.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Send exactly one of otp, passkey and password.")
        return attrs


class StepUpTokenSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="A bearer token of the same session that carries the step-up.")
    expires_at = serializers.DateTimeField(help_text="When the token expires.")
    step_up_expires_at = serializers.DateTimeField(help_text="Until when the step-up counts; then step up again.")


class RecoveryCodeListSerializer(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(child=serializers.CharField(), help_text="Each works once. Shown this once.")


class RegistrationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    time_zone = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(ACCOUNT_ROLES)))
    created_at = serializers.DateTimeField()


class UserSerializer(serializers.ModelSerializer[User]):
    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(ACCOUNT_ROLES)))

    class Meta:
        model = User
        fields = ["id", "email", "email_verified_at", "name", "time_zone", "roles", "created_at"]


class EmailChangeSerializer(serializers.ModelSerializer[EmailChange]):
    email = serializers.EmailField(source="new_email", help_text="The new address, which has to confirm.")
    expires_at = serializers.DateTimeField(source="confirm_expires_at")

    class Meta:
        model = EmailChange
        fields = ["email", "requested_at", "expires_at"]


class MeSerializer(UserSerializer):
    email_change = serializers.SerializerMethodField(help_text="What waits for the new address to confirm, or null.")

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "email_change"]

    @extend_schema_field(EmailChangeSerializer(allow_null=True))
    def get_email_change(self, user: User) -> Any:
        waits: Any = user  # as selectors.own_account finds it
        return shown(EmailChangeSerializer, waits) if waits.new_email else None


class EmailChangeRequestSerializer(RequestSerializer):
    email = AddressField()
    password = PasswordField(
        required=False, help_text="Needed without two-factor log-in. With it, send a token with a step-up."
    )


class StaffUserSerializer(UserSerializer):
    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "is_active", "last_login"]


class ProfileSerializer(RequestSerializer):
    name = NameField(required=False)
    time_zone = TimeZoneField(required=False)


class StaffChangesSerializer(ProfileSerializer):
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=list(ACCOUNT_ROLES)), required=False, max_length=10
    )
    is_active = serializers.BooleanField(required=False)


class UserFilterSerializer(QuerySerializer):
    email = serializers.CharField(required=False, default=None, max_length=254, help_text="Any part of the address.")
    role = serializers.ChoiceField(choices=list(ACCOUNT_ROLES), required=False, default=None)
    is_active = serializers.BooleanField(required=False, default=None)


class ClosureSerializer(serializers.Serializer[Any]):
    """A closure. It goes on by itself: the owner can no longer log in to ask about it."""

    requested_at = serializers.DateTimeField()
    remaining = serializers.ListField(
        child=serializers.DictField(),
        allow_null=True,
        help_text="Bots and keys that are still being ended, each with what it waits for; null where not yet known.",
    )


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


class KeySetSerializer(serializers.Serializer[Any]):
    """A JSON Web Key Set (RFC 7517)."""

    keys = serializers.ListField(child=serializers.DictField())
