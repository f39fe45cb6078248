"""A user's activity, as the API shows it."""

from typing import Any

from rest_framework import serializers

from apps.accounts.activity import ClientState
from apps.core.api.fields import OBJECT
from apps.core.identity.actor import ActorKind


class ActivitySerializer(serializers.Serializer[Any]):
    """An event as the platform's log keeps it, and who caused it, from where."""

    id = serializers.UUIDField(source="event.event_id")
    type = serializers.CharField(source="event.event_type")
    occurred_at = serializers.DateTimeField(source="event.occurred_at", help_text="UTC.")
    aggregate_type = serializers.CharField(source="event.aggregate_type")
    aggregate_id = serializers.UUIDField(source="event.aggregate_id")
    correlation_id = serializers.UUIDField(
        source="event.correlation_id", help_text="One for everything that a request set off."
    )
    payload = serializers.SerializerMethodField()
    actor = serializers.ChoiceField(
        choices=["", *ActorKind], help_text="Actor of the event. `anonymous`: the request had no log-in."
    )
    session_id = serializers.UUIDField(allow_null=True, help_text="As in GET /auth/sessions.")
    machine_key_id = serializers.UUIDField(allow_null=True, help_text="As in GET /auth/api-keys.")
    client = serializers.ChoiceField(
        choices=list(ClientState),
        help_text="Whether address and device are shown: `known`; `erased`; `none` where a process of the platform"
        " acted; `withheld` where staff did.",
    )
    address = serializers.IPAddressField(allow_null=True, help_text="The network address that it came from.")
    device = serializers.CharField(
        allow_null=True, help_text="What the client said it is, such as `Firefox on Linux`. It may say anything."
    )

    @OBJECT
    def get_payload(self, entry: Any) -> Any:
        return entry.payload
