"""Machine keys in requests and answers."""

import ipaddress
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.services.machine_keys import NewMachineKey
from apps.core.api.fields import ONE_LINE
from apps.core.api.requests import RequestSerializer
from apps.core.models import KeyScope

_MOST_NETWORKS = 50


@extend_schema_field({"type": "string", "format": "network"})
class NetworkField(serializers.CharField):
    """An address or a network in CIDR form, IPv4 or IPv6, in normal form."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise serializers.ValidationError(
                "This is no address and no network in CIDR form, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32."
            ) from None
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
            raise serializers.ValidationError("Write an IPv4 address in its own form, such as 192.0.2.7.")
        return str(network)


class MachineKeyCreateSerializer(RequestSerializer):
    name = serializers.CharField(max_length=80, validators=[ONE_LINE])
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=KeyScope.choices),
        allow_empty=False,
        min_length=1,
        max_length=3,
        help_text="`read`: GET alone. `trade:paper`, `trade:live`: bots, halts and caps of that mode, and reading.",
    )
    networks = serializers.ListField(
        child=NetworkField(),
        required=False,
        default=list,
        max_length=_MOST_NETWORKS,
        help_text="From where it may be used, as addresses or in CIDR form; empty: from everywhere.",
    )
    expires_at = serializers.DateTimeField(required=False, default=None, allow_null=True)


class MachineKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    hint = serializers.CharField(help_text="How the key begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=KeyScope.choices))
    networks = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


class NewMachineKeySerializer(MachineKeySerializer):
    key = serializers.CharField(help_text="Shown this once.")

    def to_representation(self, made: NewMachineKey) -> dict[str, Any]:
        made.row.last_used_at = None  # type: ignore[attr-defined]
        fields = MachineKeySerializer(made.row).data
        return {**fields, "key": made.key}
