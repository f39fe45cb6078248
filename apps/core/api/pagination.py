"""Cursor pagination, newest first. Pages stay stable while rows are inserted."""

from typing import Any

from django.core.exceptions import ValidationError
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination

from apps.core.errors import Malformed

# For lists whose answer has more than a page of them, which the OpenAPI generator does not take for one.
PAGE_PARAMETERS = (
    OpenApiParameter("cursor", str, description="The pagination cursor value."),
    OpenApiParameter("limit", int, description="Number of results to return per page."),
)


class NewestFirstPagination(CursorPagination):
    ordering: str | tuple[str, ...] = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        """Raises Malformed for a cursor that no earlier page returned, including one whose value the query refuses."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError):
            raise Malformed("The cursor is not one that an earlier page gave.") from None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The page's schema in OpenAPI 3.1 (JSON Schema); DRF's own is in OpenAPI 3.0."""
        address = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": address, "previous": address, "results": schema},
        }
