"""Passkeys: the objects of WebAuthn travel as the browser's own JSON form (WebAuthn Level 3, 5.1.8 to 5.1.10)."""

from typing import Any

from rest_framework import serializers

from apps.accounts.api.serializers import DeviceTokenField
from apps.accounts.models import Passkey
from apps.core.api.fields import OBJECT, ONE_LINE, ParametersField
from apps.core.api.requests import RequestSerializer

_ANSWER = "The browser's `PublicKeyCredential`, as its `toJSON()` gives it."


@OBJECT
class _OptionsField(serializers.JSONField):
    """Options as the browser parses them."""


class CreationOptionsSerializer(serializers.Serializer[Any]):
    public_key = _OptionsField(
        help_text="For `PublicKeyCredential.parseCreationOptionsFromJSON()`, then `navigator.credentials.create()`."
    )


class RequestOptionsSerializer(serializers.Serializer[Any]):
    public_key = _OptionsField(
        help_text="For `PublicKeyCredential.parseRequestOptionsFromJSON()`, then `navigator.credentials.get()`."
    )


class PasskeyNameField(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=80, validators=[ONE_LINE], **options)


class PasskeyRegisterSerializer(RequestSerializer):
    name = PasskeyNameField(required=False, default="Passkey", help_text="By which you tell it from others.")
    credential = ParametersField(help_text=_ANSWER)


class PasskeyLogInSerializer(RequestSerializer):
    credential = ParametersField(help_text=_ANSWER)
    device_token = DeviceTokenField()


class PasskeyNameSerializer(RequestSerializer):
    name = PasskeyNameField()


class PasskeySerializer(serializers.ModelSerializer[Passkey]):
    class Meta:
        model = Passkey
        fields = ["id", "name", "transports", "is_synced", "created_at", "last_used_at"]


class RegisteredPasskeySerializer(serializers.Serializer[Any]):
    passkey = PasskeySerializer()
    recovery_codes = serializers.ListField(
        child=serializers.CharField(),
        help_text="With the account's first second factor; empty otherwise. Each works once. Shown this once.",
    )
