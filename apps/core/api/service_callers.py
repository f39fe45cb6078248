"""Views that only other services of the platform call, with a service token. The gateway routes none of them."""

from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from apps.core.api.views import ApiView
from apps.core.errors import Forbidden, NotAuthenticated
from apps.core.identity import service_token
from apps.core.identity.access import SERVICES
from apps.core.identity.actor import Actor, ActorKind, identify_actor
from apps.core.identity.principal import Role


class CallingService:
    """Another service of the platform, authenticated by its service token."""

    is_authenticated = True
    roles = frozenset({Role.SERVICE})

    def __init__(self, name: str) -> None:
        self.name = name


class ByServiceToken(BaseAuthentication):
    """``Authorization: Bearer <service token>`` with this audience."""

    def __init__(self, audience: str) -> None:
        self._audience = audience

    def authenticate(self, request: Request) -> tuple[CallingService, None]:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("Send a service token: Authorization: Bearer <token>.")
        return CallingService(service_token.verify(token, audience=self._audience)), None

    def authenticate_header(self, request: Request) -> str:
        return f'Bearer realm="{self._audience}"'


class ServiceTokenScheme(OpenApiAuthenticationExtension):
    target_class = "apps.core.api.service_callers.ByServiceToken"
    name = "serviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ServiceView(ApiView):
    """`audience` is this service's name in tokens, `callers` the services that may call; None: all of the platform."""

    audience: ClassVar[str]
    callers: ClassVar[frozenset[str] | None] = None
    access = SERVICES

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [ByServiceToken(self.audience)]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        caller: Any = request.user
        if self.callers is not None and caller.name not in self.callers:
            raise Forbidden("This service may not call it.")
        identify_actor(Actor(ActorKind.SERVICE, caller.name))
