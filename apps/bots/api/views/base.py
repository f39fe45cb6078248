from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.views import APIView

from apps.bots.api.serializers.commands import ReceiptListSerializer, ReceiptSerializer
from apps.bots.models import BotCommand
from apps.bots.selectors.command_receipts import command_receipt_of, command_receipts_of
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.pagination import NewestFirstPagination
from apps.core.principal import IsTrader


class TraderView(IdempotentMutations, APIView):
    permission_classes = (IsTrader,)


class PagedView(TraderView):
    """A list by pages; the OpenAPI document learns of them from `pagination_class`."""

    pagination_class: type[NewestFirstPagination] = NewestFirstPagination


def valid(serializer: type[Serializer[Any]], data: Any, *, partial: bool = False) -> dict[str, Any]:
    """The fields of a body or a query. Raises DRF's ValidationError, which becomes a 400."""
    checked = serializer(data=data, partial=partial)
    checked.is_valid(raise_exception=True)
    found: dict[str, Any] = checked.validated_data
    return found


def page_of(
    queryset: QuerySet[Any],
    request: Request,
    view: PagedView,
    serializer: type[BaseSerializer[Any]],
    *,
    prepare: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
) -> Response:
    """One page; `prepare` turns its rows into what the serializer takes."""
    pages = view.pagination_class()
    rows: Sequence[Any] = pages.paginate_queryset(queryset, request, view) or []
    return pages.get_paginated_response(serializer(prepare(rows) if prepare else rows, many=True).data)


def accepted(command: BotCommand) -> Response:
    """202 with the receipt, and its address."""
    location = reverse("bot-command", args=[command.bot_id, command.id])
    receipt = command_receipt_of(command, now=timezone.now())
    return Response(ReceiptSerializer(receipt).data, status=202, headers={"Location": location})


def accepted_all(commands: list[BotCommand]) -> Response:
    receipts = command_receipts_of(commands, now=timezone.now())
    return Response(ReceiptListSerializer({"results": receipts}).data, status=202)
