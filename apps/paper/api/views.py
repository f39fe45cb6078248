"""Django views of Kraken's public and private API: parse, call one method, format the answer."""

from collections.abc import Callable
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from apps.core.identity.access import ANYONE, SIGNED, with_access
from apps.paper.api import wire
from apps.paper.api.auth import authenticate
from apps.paper.api.endpoints import load_endpoints
from apps.paper.api.params import Params
from apps.paper.api.registry import PRIVATE, PUBLIC
from apps.paper.errors import (
    InternalError,
    InvalidArguments,
    KrakenRefusal,
    PermissionDenied,
    ServiceUnavailable,
    UnknownMethod,
)

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024

load_endpoints()


@csrf_exempt
@with_access(ANYONE)
def public(request: HttpRequest, method: str) -> HttpResponse:
    return _enveloped(lambda: _public(request, method), method)


@csrf_exempt
@with_access(SIGNED)
def private(request: HttpRequest, method: str) -> HttpResponse:
    return _enveloped(lambda: _private(request, method), method)


def _public(request: HttpRequest, method: str) -> Any:
    if method not in PUBLIC or request.method not in ("GET", "POST"):
        raise UnknownMethod
    params = Params.of_form(request.META.get("QUERY_STRING", "")) if request.method == "GET" else _body_params(request)
    return PUBLIC[method](params)


def _private(request: HttpRequest, method: str) -> Any:
    if method not in PRIVATE or request.method != "POST":
        raise UnknownMethod
    params = _body_params(request)
    api_key = authenticate(request, params, now=timezone.now())
    needed = PRIVATE[method].permissions
    if needed and needed.isdisjoint(api_key.permissions):
        raise PermissionDenied
    return PRIVATE[method].call(api_key, params)


def _body_params(request: HttpRequest) -> Params:
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        raise InvalidArguments
    try:
        text = request.body.decode()
    except UnicodeDecodeError:
        raise InvalidArguments from None
    return Params.of_json(text) if request.content_type == "application/json" else Params.of_form(text)


def _enveloped(call: Callable[[], Any], method: str) -> HttpResponse:
    try:
        return wire.answer(call())
    except KrakenRefusal as refused:
        return wire.refusal(refused)
    except (OperationalError, InterfaceError):
        log.exception("paper_database_unavailable", method=method)
        return wire.refusal(ServiceUnavailable())
    except Exception:
        # Kraken too answers internal errors with status 200. The log has the cause.
        log.exception("paper_request_failed", method=method)
        return wire.refusal(InternalError())
