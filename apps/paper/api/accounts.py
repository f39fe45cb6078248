"""The platform's own endpoints: open an account, list the replayed markets. Not part of Kraken's API."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import service_token
from apps.core.api.requests import RequestSerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.views import ApiView
from apps.core.errors import NotAuthenticated
from apps.paper.api.endpoints.market_data import MarketSnapshot, market_facts
from apps.paper.engine.fees import DEFAULT_SCHEDULE, SCHEDULES
from apps.paper.market.listing import listed_markets
from apps.paper.services.accounts import account_open

AUDIENCE = "paper"


class CallingService:
    """Another service of the platform, authenticated by its service token."""

    is_authenticated = True

    def __init__(self, name: str) -> None:
        self.name = name


class ServiceTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer <service token>`` with the audience "paper"."""

    def authenticate(self, request: Request) -> tuple[CallingService, None]:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("Send a service token: Authorization: Bearer <token>.")
        return CallingService(service_token.verify(token, audience=AUDIENCE)), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="paper"'


class ServiceTokenScheme(OpenApiAuthenticationExtension):
    target_class = "apps.paper.api.accounts.ServiceTokenAuthentication"
    name = "serviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class AccountCreateRequest(RequestSerializer):
    owner_id = serializers.UUIDField()
    label = serializers.CharField(max_length=80, default="paper")  # type: ignore[assignment]
    deposits = serializers.DictField(
        child=serializers.DecimalField(
            max_digits=22, decimal_places=10, min_value=Decimal(0), max_value=Decimal("1000000000000")
        ),
        default=dict,
    )
    fee_schedule = serializers.ChoiceField(choices=list(SCHEDULES), default=DEFAULT_SCHEDULE)


class AccountCreated(serializers.Serializer[Any]):
    account_id = serializers.UUIDField()
    api_key = serializers.CharField()
    api_secret = serializers.CharField()
    permissions = serializers.ListField(child=serializers.CharField())


class AccountCreateView(ApiView):
    """Opens an account with test deposits. Idempotent by owner and label."""

    authentication_classes = [ServiceTokenAuthentication]
    permission_classes = [IsAuthenticated]

    @operation(body=AccountCreateRequest, responses={201: AccountCreated, **error_responses(401)})
    def post(self, request: Request) -> Response:
        opened = account_open(
            owner_id=self.body["owner_id"],
            label=self.body["label"],
            deposits=self.body["deposits"],
            schedule=self.body["fee_schedule"],
            now=timezone.now(),
        )
        answer = AccountCreated(
            {
                "account_id": opened.account.id,
                "api_key": opened.api_key.key,
                "api_secret": opened.api_secret,
                "permissions": opened.api_key.permissions,
            }
        )
        return Response(answer.data, status=201)


class MarketListView(ApiView):
    """The replayed markets: source, whether it is synthetic, and progress."""

    authentication_classes = []
    permission_classes = []

    @operation(responses={200: serializers.ListSerializer(child=serializers.DictField()), **error_responses()})
    def get(self, request: Request) -> Response:
        return Response(
            {"markets": [market_facts(MarketSnapshot(series.pair)) for series in listed_markets().values()]}
        )
