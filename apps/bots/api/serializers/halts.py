from typing import Any

from rest_framework import serializers

from apps.core.api.requests import QuerySerializer, RequestSerializer
from apps.risk.models.halts import Halt, HaltLevel, HaltScope, HaltSource

_SCOPES = [(scope.value, scope.label) for scope in HaltScope if scope != HaltScope.PLATFORM]


class HaltSetSerializer(RequestSerializer):
    scope = serializers.ChoiceField(choices=_SCOPES, help_text="`user`: all your bots.")
    bot_id = serializers.UUIDField(required=False, default=None, help_text="For the scope `bot`.")
    credential_id = serializers.UUIDField(required=False, default=None, help_text="For the scope `key`.")
    level = serializers.ChoiceField(
        choices=HaltLevel.choices,
        required=False,
        default=HaltLevel.HALTED,
        help_text="`reducing`: exits only; `halted`: no order at all. Cancels go on under both.",
    )
    reason = serializers.CharField(required=False, default="", max_length=500, allow_blank=True)


class HaltFilterSerializer(QuerySerializer):
    state = serializers.ChoiceField(choices=["in_force", "lifted", "all"], required=False, default="in_force")


class HaltSerializer(serializers.Serializer[Any]):
    """A halt: what it covers, how strictly, why, and who set it when."""

    id = serializers.UUIDField()
    scope = serializers.ChoiceField(choices=HaltScope.choices)
    bot_id = serializers.SerializerMethodField(help_text="For the scope `bot`.")
    credential_id = serializers.SerializerMethodField(help_text="For the scope `key`.")
    level = serializers.ChoiceField(choices=HaltLevel.choices)
    set_by = serializers.ChoiceField(
        source="source", choices=HaltSource.choices, help_text="Who set it; a user lifts only what a user set."
    )
    code = serializers.CharField(help_text="The cause, for programs.")
    reason = serializers.CharField(help_text="The cause, for people.")
    since = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)
    lifted_because = serializers.CharField()

    def get_bot_id(self, halt: Halt) -> str | None:
        return str(halt.subject_id) if halt.scope == HaltScope.BOT else None

    def get_credential_id(self, halt: Halt) -> str | None:
        return str(halt.subject_id) if halt.scope == HaltScope.KEY else None
