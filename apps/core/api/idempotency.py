"""Idempotency-Key: a repeated request is executed once and gets the stored response (docs/api.md)."""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.encoding import force_bytes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from apps.core.errors import Conflict, Malformed, PlatformError
from apps.core.expiry import delete_batch
from apps.core.identity.client_info import client_info_of
from apps.core.models import IdempotencyRecord

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_WELL_FORMED = re.compile(r"^[\x21-\x7e]{1,128}$")
_KEPT_HEADERS = ("Location",)

# A key is remembered at least this long.
KEPT = timedelta(days=1)
# A record without a response after this long belongs to a process that died.
ABANDONED_AFTER = timedelta(seconds=60)


class IdempotencyKeyReused(Conflict):
    """The key was used before, for a different request."""

    code = "idempotency_key_reused"


def key_reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused(f"This {HEADER} was used for another request. Use a new one.")


class RequestInProgress(Conflict):
    """An identical request is in progress. Retry after `retry_after_seconds`."""

    code = "request_in_progress"
    retryable = True


class IdempotentMutations:
    """Mixin for views: POST, PUT, PATCH and DELETE honour Idempotency-Key.

    The record is inserted in the handler's own transaction. Two identical concurrent requests conflict on its unique
    key: the second blocks until the first commits, then gets the first one's response. A refused request rolls its
    record back, so the client can retry with the same key.

    A view that calls an external system sets `idempotency_around_io`, because no transaction may stay open during that
    call. The record is then committed first, the handler runs without a transaction, and the response is stored
    afterwards. An identical request in between gets RequestInProgress. A record whose process died is taken over after
    ABANDONED_AFTER and the handler runs again: unique constraints must guard whatever the first run had committed.

    A view whose request depends on an answer of an external system, and which changes nothing there, checks that answer
    in `check_before` instead.
    """

    idempotency_around_io: ClassVar[bool] = False

    def check_before(self, request: Request, **kwargs: Any) -> None:
        """Runs before the handler of a mutation, outside of its transaction, with the arguments of the handler.

        May call an external system. Raises PlatformError, which the caller gets unless the request is a replay.
        """

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method in ("POST", "PUT", "PATCH", "DELETE"):
            handler_name = request.method.lower()
            handler = getattr(self, handler_name, None)
            if handler is not None:
                once = self._once_around_io if self.idempotency_around_io else self._once
                wrapped = once if HEADER in request.headers else self._checked
                setattr(self, handler_name, wrapped(handler))
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def _checked(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def handle(request: Request, *args: Any, **kwargs: Any) -> Response:
            self.check_before(request, **kwargs)
            return handler(request, *args, **kwargs)

        return handle

    def _once(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def handle(request: Request, *args: Any, **kwargs: Any) -> Response:
            key = idempotency_key_of(request)
            failure: PlatformError | None = None
            try:
                self.check_before(request, **kwargs)
            except PlatformError as error:
                failure = error
            with transaction.atomic():
                record, is_first = _record(request, key)
                if not is_first:
                    return _replay(record, request)
                if failure is not None:
                    raise failure
                response = handler(request, *args, **kwargs)
                IdempotencyRecord.objects.filter(pk=record.pk).update(**_answer(response))
                return response

        return handle

    def _once_around_io(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        def handle(request: Request, *args: Any, **kwargs: Any) -> Response:
            record, is_mine = _record(request, idempotency_key_of(request))
            if not is_mine and record.status is not None:
                return _replay(record, request)
            if not is_mine:
                _take_over(record, request)
            # `created_at` is the fencing token: a takeover changes it, and the update below then matches no row.
            claim = IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at, status=None)
            try:
                response = handler(request, *args, **kwargs)
            except BaseException:
                claim.delete()
                raise
            claim.update(**_answer(response))
            return response

        return handle


def idempotency_purge(*, now: datetime) -> int:
    """Deletes a batch of records older than KEPT, of every service. Returns how many."""
    return delete_batch(IdempotencyRecord.objects.filter(created_at__lt=now - KEPT))


def idempotency_erase(*, user_id: UUID) -> None:
    """Deletes the answers that a user got."""
    IdempotencyRecord.objects.filter(scope=str(user_id)).delete()


def idempotency_key_of(request: Request) -> str:
    """The key of a request that has one. Raises Malformed."""
    key: str = request.headers[HEADER]
    if not _WELL_FORMED.match(key):
        raise Malformed(f"{HEADER} must be 1 to 128 printable characters.")
    return key


def _record(request: Request, key: str) -> tuple[IdempotencyRecord, bool]:
    return IdempotencyRecord.objects.get_or_create(
        scope=_scope(request),
        key=key,
        defaults={"fingerprint": _fingerprint(request), "created_at": timezone.now()},
    )


def _answer(response: Response) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "body": _jsonable(response.data),
        "headers": {name: response[name] for name in _KEPT_HEADERS if response.has_header(name)},
    }


def _take_over(record: IdempotencyRecord, request: Request) -> None:
    """Takes over a record whose process died. Raises RequestInProgress while that process may still be at work."""
    _refuse_another_request(record, request)
    now = timezone.now()
    abandoned_at = record.created_at + ABANDONED_AFTER
    unanswered = IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at, status=None)
    if now < abandoned_at or not unanswered.update(created_at=now):
        raise RequestInProgress(
            "An equal request is still being worked on.",
            retry_after_seconds=max(1, math.ceil(min(5.0, (abandoned_at - now).total_seconds()))),
        )
    record.created_at = now


def _scope(request: Request) -> str:
    if user_id := getattr(request.user, "user_id", None):
        return str(user_id)
    # Strangers behind one address are told apart as far as they can be.
    client = client_info_of(request._request)
    program = hashlib.sha256(client.user_agent.encode()).hexdigest()[:16]
    return f"anonymous:{client.address or ''}:{program}"


def _fingerprint(request: Request) -> bytes:
    # HMAC instead of a plain hash: some bodies hold a password, which an offline attack on the table could guess.
    digest = hmac.new(force_bytes(settings.SECRET_KEY), digestmod=hashlib.sha256)
    digest.update(f"{request.method} {request.get_full_path()}\n".encode())
    digest.update(request._request.body)
    return digest.digest()


def _refuse_another_request(record: IdempotencyRecord, request: Request) -> None:
    if bytes(record.fingerprint) != _fingerprint(request):
        raise key_reused()


def _replay(record: IdempotencyRecord, request: Request) -> Response:
    _refuse_another_request(record, request)
    response = Response(record.body, status=record.status, headers=record.headers)
    response[REPLAYED] = "true"
    return response


def _jsonable(data: Any) -> Any:
    return json.loads(json.dumps(data, cls=JSONEncoder))
