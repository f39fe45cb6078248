"""What goes in and out. A secret goes in, and never out."""

import base64
import binascii
from typing import Any

from django.core.validators import RegexValidator
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.core.api.fields import BASE64, ONE_LINE, AmountField
from apps.core.api.requests import RequestSerializer
from apps.core.terms import Mode
from apps.vault.models import Credential
from apps.vault.permissions import warnings_of

_KEY = RegexValidator(r"^[A-Za-z0-9+/=_-]{1,128}$", "This is not an API key.")


@extend_schema_field({"type": "string", "pattern": BASE64, "minLength": 4, "maxLength": 200, "writeOnly": True})
class SecretField(serializers.CharField):
    """The secret half of a key, in base64. It is in no answer, and in no message about itself."""

    default_error_messages = {"not_a_secret": "This is not the secret of an API key: it must be base64."}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=200, write_only=True, style={"input_type": "password"}, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not decoded:
            self.fail("not_a_secret")
        return text


class LabelSerializer(RequestSerializer):
    label = serializers.CharField(max_length=80, validators=[ONE_LINE], help_text="Yours to choose.")  # type: ignore[assignment]


class KeyConnectSerializer(LabelSerializer):
    mode = serializers.ChoiceField(choices=Mode.choices, help_text="Never changes.")
    api_key = serializers.CharField(required=False, validators=[_KEY], help_text="Live only.")
    api_secret = SecretField(required=False, help_text="Live only. Kept encrypted, never shown.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = attrs["mode"] == Mode.LIVE
        message = "A live key needs it." if needed else "A paper account makes its own."
        wrong = {name: message for name in ("api_key", "api_secret") if (name in attrs) is not needed}
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs


class KeyRotateSerializer(RequestSerializer):
    api_key = serializers.CharField(validators=[_KEY])
    api_secret = SecretField()


@extend_schema_serializer(component_name="Passport")
class KeyInfoSerializer(serializers.ModelSerializer[Credential]):
    """What is known of a key, and what its owner had better change."""

    key_hint = serializers.CharField(help_text="The last four characters of the key's public half.")
    permissions = serializers.ListField(child=serializers.CharField())
    ip_allowlist = serializers.ListField(child=serializers.CharField())
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Credential
        fields = (
            "id",
            "label",
            "mode",
            "state",
            "key_hint",
            "permissions",
            "ip_allowlist",
            "nonce_window",
            "expires_at",
            "warnings",
            "created_at",
            "tested_at",
            "last_error",
        )
        read_only_fields = fields

    def get_warnings(self, credential: Credential) -> list[str]:
        return warnings_of(
            permissions=credential.permissions,
            ip_allowlist=credential.ip_allowlist,
            nonce_window=credential.nonce_window,
            mode=credential.mode,
            expires_at=credential.expires_at,
            now=timezone.now(),
        )


class BalanceSerializer(serializers.Serializer[Any]):
    asset = serializers.CharField()
    total = AmountField(help_text="What the account has, held amounts included.")
    held = AmountField(help_text="What open orders hold.")
    free = AmountField(help_text="What can be used now.")


class AccountBalancesSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    mode = serializers.ChoiceField(choices=Mode.choices)
    balances = BalanceSerializer(many=True)
