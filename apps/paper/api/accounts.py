"""The platform's own endpoints: open an account, list the replayed markets. Not part of Kraken's API."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.requests import RequestSerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.service_callers import ServiceView
from apps.core.api.views import ApiView
from apps.core.identity.access import ANYONE
from apps.paper.api.endpoints.market_data import MarketSnapshot, market_facts
from apps.paper.engine.fees import DEFAULT_SCHEDULE, SCHEDULES
from apps.paper.market.listing import listed_markets
from apps.paper.services.accounts import account_open


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


class MarketList(serializers.Serializer[Any]):
    markets = serializers.ListField(child=serializers.DictField())


class AccountCreateView(ServiceView):
    """Opens an account with test deposits. Idempotent by owner and label."""

    audience = "paper"

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
    access = ANYONE

    @operation(responses={200: MarketList, **error_responses()})
    def get(self, request: Request) -> Response:
        return Response(
            {"markets": [market_facts(MarketSnapshot(series.pair)) for series in listed_markets().values()]}
        )
