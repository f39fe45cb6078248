"""Assigns each request its request id, its message context and its origin, and its line in the log."""

import re
from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from apps.core.context import message_context
from apps.core.identity.actor import request_origin
from apps.core.identity.client_info import client_info_of
from apps.core.ids import new_id
from apps.core.redaction import request_line

_ACCEPTED_ID = re.compile(r"^[A-Za-z0-9_-]{8,64}$")


def request_id_of(request: HttpRequest) -> str:
    """The gateway's request id, or the one generated here. It is in every response and log line."""
    value: str = request.META.get("HTTP_X_REQUEST_ID", "")
    return value


class RequestContextMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _ACCEPTED_ID.match(request_id_of(request)):
            request.META["HTTP_X_REQUEST_ID"] = new_id().hex
        context = message_context(
            correlation_id=_correlation_id(request_id_of(request)),
            traceparent=request.META.get("HTTP_TRACEPARENT", ""),
        )
        with context, request_origin(lambda: client_info_of(request)):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id_of(request)
        return response


class RequestLogMiddleware(RequestMiddleware):
    """django-structlog's line about each request, without the query string."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return request_line(request)


def _correlation_id(request_id: str) -> UUID:
    try:
        return UUID(request_id)
    except ValueError:
        return new_id()
