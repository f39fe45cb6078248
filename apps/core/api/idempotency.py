"""Idempotency-Key: the same key and body are answered alike, and done once (docs/api.md)."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.encoding import force_bytes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from apps.core.errors import Conflict, Malformed
from apps.core.models import IdempotencyRecord

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_WELL_FORMED = re.compile(r"^[\x21-\x7e]{1,128}$")
_KEPT_HEADERS = ("Location",)


class IdempotencyKeyReused(Conflict):
    """The key was used before for another request."""

    code = "idempotency_key_reused"


class IdempotentMutations:
    """Mixin for views: POST, PUT, PATCH and DELETE honour Idempotency-Key.

    The record is written in the transaction of the work itself. Two equal requests at once meet at its unique key: the
    second waits until the first commits, then gets the first one's answer. A refused request leaves no record, so it
    can be tried again with the same key.
    """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method in ("POST", "PUT", "PATCH", "DELETE") and request.headers.get(HEADER):
            handler_name = request.method.lower()
            handler = getattr(self, handler_name, None)
            if handler is not None:
                setattr(self, handler_name, self._once(handler))
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def _once(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def handle(request: Request, *args: Any, **kwargs: Any) -> Response:
            key = request.headers[HEADER]
            if not _WELL_FORMED.match(key):
                raise Malformed(f"{HEADER} must be 1 to 128 printable characters.")
            with transaction.atomic():
                record, is_first = IdempotencyRecord.objects.get_or_create(
                    scope=_scope(request),
                    key=key,
                    defaults={"fingerprint": _fingerprint(request), "created_at": timezone.now()},
                )
                if not is_first:
                    return _replay(record, request)
                response = handler(request, *args, **kwargs)
                record.status = response.status_code
                record.body = _jsonable(response.data)
                record.headers = {name: response[name] for name in _KEPT_HEADERS if response.has_header(name)}
                record.save(update_fields=["status", "body", "headers"])
                return response

        return handle


def _scope(request: Request) -> str:
    user_id = getattr(request.user, "user_id", None)
    return str(user_id) if user_id else f"anonymous:{request.META.get('REMOTE_ADDR', '')}"


def _fingerprint(request: Request) -> bytes:
    # Keyed: some bodies hold a password, and a bare hash of one could be guessed from a copy of the table.
    digest = hmac.new(force_bytes(settings.SECRET_KEY), digestmod=hashlib.sha256)
    digest.update(f"{request.method} {request.get_full_path()}\n".encode())
    digest.update(request._request.body)
    return digest.digest()


def _replay(record: IdempotencyRecord, request: Request) -> Response:
    if bytes(record.fingerprint) != _fingerprint(request):
        raise IdempotencyKeyReused(f"This {HEADER} was used for another request. Use a new one.")
    response = Response(record.body, status=record.status, headers=record.headers)
    response[REPLAYED] = "true"
    return response


def _jsonable(data: Any) -> Any:
    return json.loads(json.dumps(data, cls=JSONEncoder))
