"""One error shape for every answer of every service (docs/api.md)."""

import math
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback
from rest_framework_simplejwt.exceptions import InvalidToken

from apps.core.errors import DependencyUnavailable, PlatformError
from apps.core.middleware import request_id_of

log = structlog.get_logger(__name__)


def error_body(code: str, message: str, *, request_id: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details or {}, "request_id": request_id}}


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook: every exception leaves as the one shape; an unexpected one is loud in the log and says nothing outside."""
    request: HttpRequest = context["request"]
    set_rollback()
    status, code, message, details, headers = _translate(exception)
    if status >= 500:
        log.error("request_failed", code=code, path=request.path, exc_info=exception)
    return Response(
        error_body(code, message, request_id=request_id_of(request), details=details), status=status, headers=headers
    )


def _translate(exception: Exception) -> tuple[int, str, str, dict[str, Any], dict[str, str]]:
    headers: dict[str, str] = {}
    match exception:
        case PlatformError():
            if seconds := exception.details.get("retry_after_seconds"):
                headers["Retry-After"] = str(seconds)
            return exception.http_status, exception.code, exception.message, exception.details, headers
        case exceptions.ValidationError():
            return 400, "malformed", "Some fields are missing or not valid.", {"fields": exception.detail}, headers
        case exceptions.ParseError():
            return 400, "malformed", "The body is not valid JSON.", {}, headers
        case InvalidToken():
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
            return 401, "invalid_token", "The token is not valid or has expired. Log in again.", {}, headers
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            headers["WWW-Authenticate"] = 'Bearer realm="api"'
            return 401, "not_authenticated", "Send an access token: Authorization: Bearer <token>.", {}, headers
        case exceptions.Throttled():
            seconds = math.ceil(exception.wait or 1)
            headers["Retry-After"] = str(seconds)
            return 429, "too_many_requests", f"Too many requests. Try again in {seconds} s.", {}, headers
        case exceptions.PermissionDenied() | PermissionDenied():
            return 403, "forbidden", str(getattr(exception, "detail", "")) or "You may not do this.", {}, headers
        case Http404() | exceptions.NotFound():
            return 404, "not_found", "There is nothing here, or it is not yours.", {}, headers
        case exceptions.APIException():
            return exception.status_code, str(exception.default_code), str(exception.detail), {}, headers
        case RequestDataTooBig():
            return 413, "too_large", "The body is larger than 256 KiB.", {}, headers
        case OperationalError() | InterfaceError():
            unavailable = DependencyUnavailable
            return unavailable.http_status, unavailable.code, "The database does not answer. Try again.", {}, headers
        case DatabaseError():
            return 500, "internal", "Something went wrong on our side; it has been recorded.", {}, headers
        case _:
            return 500, "internal", "Something went wrong on our side; it has been recorded.", {}, headers


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    body = error_body("not_found", "There is nothing at this address.", request_id=request_id_of(request))
    return JsonResponse(body, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    message = "Something went wrong on our side; it has been recorded."
    return JsonResponse(error_body("internal", message, request_id=request_id_of(request)), status=500)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    body = error_body("malformed", "The request cannot be understood.", request_id=request_id_of(request))
    return JsonResponse(body, status=400)
