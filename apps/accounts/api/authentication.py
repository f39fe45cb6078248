"""Authentication of the user service: the token must be valid, and its session must still be live."""

from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import Token

from apps.accounts import selectors
from apps.core.identity.principal import PrincipalAuthentication


class LiveSessionAuthentication(PrincipalAuthentication):
    """As PrincipalAuthentication, and the session must be live: a log-out takes effect at once, not at token expiry."""

    def get_user(self, validated_token: Token) -> Any:
        principal: Any = super().get_user(validated_token)
        if principal.session_id is None or not selectors.session_is_live(
            session_id=principal.session_id, user_id=principal.user_id, now=timezone.now()
        ):
            raise InvalidToken("The session has ended.")
        return principal


class LiveSessionScheme(OpenApiAuthenticationExtension):
    target_class = "apps.accounts.api.authentication.LiveSessionAuthentication"
    name = "bearer_of_live_session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
