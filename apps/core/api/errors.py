"""The one error shape of every service's responses (docs/api.md)."""

import math
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback
from rest_framework_simplejwt.exceptions import InvalidToken

from apps.core.errors import PlatformError
from apps.core.middleware import request_id_of

log = structlog.get_logger(__name__)


def error_body(code: str, message: str, *, request_id: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details or {}, "request_id": request_id}}


INTERNAL = "Something went wrong on our side; it has been recorded."
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api"'}


@dataclass(frozen=True)
class Answer:
    """An error response: status, headers and the fields of its body."""

    status: int
    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler. Every exception becomes the one error shape.

    A response of 500 or above is logged with its traceback; its body does not say what failed.
    """
    request: HttpRequest = context["request"]
    set_rollback()
    answer = _of_platform(exception) or _of_framework(exception) or _unexpected(exception)
    if answer.status >= 500:
        log.error("request_failed", code=answer.code, path=request.path, exc_info=exception)
    body = error_body(answer.code, answer.message, request_id=request_id_of(request), details=answer.details)
    return Response(body, status=answer.status, headers=answer.headers)


def _of_platform(exception: Exception) -> Answer | None:
    if not isinstance(exception, PlatformError):
        return None
    seconds = exception.details.get("retry_after_seconds")
    headers = {"Retry-After": str(seconds)} if seconds else {}
    return Answer(exception.http_status, exception.code, exception.message, exception.details, headers)


def _of_framework(exception: Exception) -> Answer | None:
    simple: list[tuple[type[Exception] | tuple[type[Exception], ...], Answer]] = [
        (exceptions.ParseError, Answer(400, "malformed", "The body is not valid JSON.")),
        (
            InvalidToken,
            Answer(401, "invalid_token", "The token is not valid or has expired. Log in again.", {}, _CHALLENGE),
        ),
        (
            (exceptions.NotAuthenticated, exceptions.AuthenticationFailed),
            Answer(401, "not_authenticated", "Send an access token: Authorization: Bearer <token>.", {}, _CHALLENGE),
        ),
        ((Http404, exceptions.NotFound), Answer(404, "not_found", "There is nothing here, or it is not yours.")),
        (RequestDataTooBig, Answer(413, "too_large", "The body is larger than 256 KiB.")),
        (
            (OperationalError, InterfaceError),
            Answer(503, "dependency_unavailable", "The database does not answer. Try again.", {}, {"Retry-After": "5"}),
        ),
    ]
    match exception:
        case exceptions.ValidationError():
            return Answer(400, "malformed", "Some fields are missing or not valid.", {"fields": exception.detail})
        case exceptions.Throttled():
            seconds = math.ceil(getattr(exception, "wait", None) or 1)
            message = f"Too many requests. Try again in {seconds} s."
            return Answer(429, "too_many_requests", message, {}, {"Retry-After": str(seconds)})
        case exceptions.PermissionDenied() | PermissionDenied():
            return Answer(403, "forbidden", str(getattr(exception, "detail", "")) or "You may not do this.")
    for types, answer in simple:
        if isinstance(exception, types):
            return answer
    return None


def _unexpected(exception: Exception) -> Answer:
    if isinstance(exception, exceptions.APIException):
        return Answer(exception.status_code, str(exception.default_code), str(exception.detail))
    return Answer(500, "internal", INTERNAL)


def page_not_found(request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001
    body = error_body("not_found", "There is nothing at this address.", request_id=request_id_of(request))
    return JsonResponse(body, status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    return JsonResponse(error_body("internal", INTERNAL, request_id=request_id_of(request)), status=500)


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001
    body = error_body("malformed", "The request cannot be understood.", request_id=request_id_of(request))
    return JsonResponse(body, status=400)


def forbidden(request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001
    body = error_body("forbidden", "You may not do this.", request_id=request_id_of(request))
    return JsonResponse(body, status=403)


def csrf_failed(request: HttpRequest, reason: str = "") -> JsonResponse:
    """Of a form that was sent from elsewhere, or after its cookie had ended. Django's reason names no secret."""
    message = "The form was not accepted: it is old, or it was sent from another address. Load the page again."
    body = error_body("csrf_failed", message, request_id=request_id_of(request), details={"reason": reason})
    return JsonResponse(body, status=403)
