"""Cursor pagination, newest first. Pages stay stable while rows are inserted."""

import re
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs

from django.core.exceptions import ValidationError
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination

from apps.core.errors import Malformed

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 200
# Opaque to clients: no text of their own is one, whatever its pattern.
_CURSOR_SCHEMA = {"type": "string", "format": "cursor"}
_LIMIT_SCHEMA = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
_CURSOR_HELP = "Of `next` or `previous` of another page."
_LIMIT_HELP = "The most results of a page."

# For lists whose answer has more than a page of them, which the OpenAPI generator does not take for one.
PAGE_PARAMETERS = (
    OpenApiParameter("cursor", _CURSOR_SCHEMA, description=_CURSOR_HELP),
    OpenApiParameter("limit", _LIMIT_SCHEMA, description=_LIMIT_HELP),
)


class NewestFirstPagination(CursorPagination):
    ordering: str | tuple[str, ...] = "-id"
    page_size = DEFAULT_PAGE_SIZE
    page_size_query_param = "limit"
    max_page_size = LARGEST_PAGE_SIZE

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        """Raises Malformed for a cursor that no earlier page returned, including one whose value the query refuses."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError):
            raise _foreign_cursor() from None

    def check(self, request: Any) -> None:
        """Raises Malformed for a cursor or a limit that is none, before anything is read."""
        self.decode_cursor(request)
        self.get_page_size(request)

    def decode_cursor(self, request: Any) -> Any:
        """Raises Malformed for a text that is no cursor; DRF takes many of those for the first page."""
        text = request.query_params.get(self.cursor_query_param)
        if text is not None:
            try:
                parts = parse_qs(b64decode(text, validate=True).decode("ascii"), strict_parsing=True)
            except ValueError:
                raise _foreign_cursor() from None
            if not parts or not parts.keys() <= {"o", "r", "p"}:
                raise _foreign_cursor()
        try:
            return super().decode_cursor(request)
        except NotFound:
            raise _foreign_cursor() from None

    def get_page_size(self, request: Any) -> int:
        """Raises Malformed for a limit outside of 1 to 200, where DRF would take another one."""
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= self.max_page_size:
            sentence = f"limit is a whole number from 1 to {self.max_page_size}."
            raise Malformed(sentence, fields={"limit": [sentence]})
        return int(text)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {"name": "cursor", "in": "query", "description": _CURSOR_HELP, "schema": _CURSOR_SCHEMA},
            {"name": "limit", "in": "query", "description": _LIMIT_HELP, "schema": _LIMIT_SCHEMA},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The page's schema in OpenAPI 3.1 (JSON Schema); DRF's own is in OpenAPI 3.0."""
        address = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": address, "previous": address, "results": schema},
        }


def _foreign_cursor() -> Malformed:
    sentence = "The cursor is not one that an earlier page gave."
    return Malformed(sentence, fields={"cursor": [sentence]})
