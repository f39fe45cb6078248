"""Bases of every view: what a call takes is read before its handler runs, and nothing else may be in the request."""

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any

from django.db.models import QuerySet
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.pagination import NewestFirstPagination
from apps.core.api.requests import Operation, RequestSerializer, operation_of
from apps.core.principal import IsTrader


class ByAcceptHeader(DefaultContentNegotiation):
    """DRF also reads a query parameter `format`. No call has one, so it is as unknown as any other."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]


class ApiView(APIView):
    """`query` and `body` hold the valid fields that the handler's `operation` declares.

    A request with any other field or query parameter is answered 400 `unknown_field`, after the caller was identified
    and before the handler runs. A handler without a declaration takes neither.
    """

    content_negotiation_class = ByAcceptHeader
    query: dict[str, Any]
    body: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        name = "get" if request.method == "HEAD" else str(request.method).lower()
        handler = getattr(type(self), name, None)
        if handler is None or name == "options":
            return
        declared = operation_of(handler)
        self.query, self.body = declared.read(
            request, body=self.body_serializer(declared), page_parameters=self.page_parameters()
        )

    def body_serializer(self, declared: Operation) -> type[RequestSerializer]:
        """The serializer of this request's body. A view that declares several chooses here."""
        assert isinstance(declared.body, type), f"{type(self).__name__} declares several bodies and chooses none."
        return declared.body

    def page_parameters(self) -> Collection[str]:
        """Query parameters that pagination reads."""
        return ()


class PagedView(ApiView):
    """A list by pages; the OpenAPI document learns of them from `pagination_class`."""

    pagination_class: type[NewestFirstPagination] = NewestFirstPagination

    def page_parameters(self) -> Collection[str]:
        if self.request.method not in ("GET", "HEAD"):
            return ()
        return (self.pagination_class.cursor_query_param, str(self.pagination_class.page_size_query_param))

    def page_of(
        self,
        queryset: QuerySet[Any],
        serializer: type[BaseSerializer[Any]],
        *,
        prepare: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
        context: dict[str, Any] | None = None,
    ) -> Response:
        """One page; `prepare` turns its rows into what the serializer takes. Raises Malformed for a foreign cursor."""
        pages = self.pagination_class()
        rows: Sequence[Any] = pages.paginate_queryset(queryset, self.request, self) or []
        shown = serializer(prepare(rows) if prepare else rows, many=True, context=context or {})
        return pages.get_paginated_response(shown.data)


class TraderView(IdempotentMutations, ApiView):
    """For traders; mutations honour Idempotency-Key."""

    permission_classes = (IsTrader,)


class PagedTraderView(TraderView, PagedView):
    """A trader's list by pages."""
