"""Calls of the public API, over HTTP, as the person in front of the browser."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import structlog
from django.conf import settings
from django.http import HttpRequest
from pydantic import BaseModel, ConfigDict

from apps.console.session.login import LogIn
from apps.console.session.refresh import refresh
from apps.core.identity.client_info import client_info_of
from apps.core.middleware import request_id_of
from apps.core.tracing import current_traceparent

log = structlog.get_logger(__name__)

# Which service answers below /api/v1/
SERVICE_OF = {"auth": "user", "user": "user", "onboarding": "user"}
OTHERWISE = "kraken"
CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0
# Codes that say that the token counts no more, and nothing else
_ENDED = frozenset({"invalid_token", "not_authenticated", "session_ended", "token_revoked"})


class Answer(BaseModel):
    """What the API answers, as far as the console uses it; members that are new in the API are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Answer):
    """A page of a list of the API; the rows are `results` of the answer."""

    next: str | None = None
    previous: str | None = None

    @property
    def next_cursor(self) -> str:
        return _cursor(self.next)

    @property
    def previous_cursor(self) -> str:
        return _cursor(self.previous)


class ApiRefused(Exception):
    """The API understood the call and refused it. `message` is a sentence for a person, in English; `fields` has the
    sentences for single fields of the body."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        status: int = 400,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.details, self.status = code, message, dict(details or {}), status
        self.retry_after = retry_after

    @property
    def needs_step_up(self) -> bool:
        """Whether a fresh proof of the second factor is all that it lacks."""
        is_gate = self.code == "live_gate_unmet" and self.details.get("gate") == "step_up"
        return is_gate or self.code == "step_up_required"

    @property
    def fields(self) -> dict[str, list[str]]:
        given = self.details.get("fields")
        return {str(name): _sentences(value) for name, value in given.items()} if isinstance(given, dict) else {}


class SessionEnded(ApiRefused):
    """The session counts no more: it was ended, or has expired. The person has to log in again."""


class ApiUnavailable(Exception):
    """A service does not answer, or answers that something that it depends on is down. What became of a mutation is
    then not known."""

    def __init__(self, service: str, message: str = "", *, code: str = "", retry_after: int | None = None) -> None:
        super().__init__(message or f"The {service} service does not answer.")
        self.service, self.code, self.retry_after = service, code, retry_after


class Api:
    """The API as one request of a browser sees it: with its log-in, its network address and its request id."""

    def __init__(self, request: HttpRequest, log_in: LogIn | None) -> None:
        self.log_in = log_in
        client = client_info_of(request)
        self._headers = {"X-Request-ID": request_id_of(request), "User-Agent": client.user_agent or "unknown"}
        if client.address:
            self._headers["X-Forwarded-For"] = client.address
        self._headers["X-Forwarded-Proto"] = request.scheme or "http"

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """`path` is below /api/v1/, such as `user/me`. Parameters that are None are left out.

        As every call: raises ApiRefused, SessionEnded and ApiUnavailable.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return self.call("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Any:
        """`key` is the Idempotency-Key: that of the form, so that sending it twice does it once."""
        return self.call("POST", path, body=body, key=key)

    def patch(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Any:
        return self.call("PATCH", path, body=body, key=key)

    def delete(self, path: str, *, params: Mapping[str, Any] | None = None, key: str = "") -> Any:
        return self.call("DELETE", path, params=params, key=key)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        key: str = "",
        is_open: bool = False,
        read_seconds: float = READ_SECONDS,
    ) -> Any:
        """The JSON of the answer, None where it has no body. `is_open`: a call without a token, such as a log-in."""
        options: dict[str, Any] = {"params": params or None, "timeout": _timeout(read_seconds)}
        if body is not None:
            options["json"] = dict(body)
        answer = self._send(method, path, options, key=key, is_open=is_open)
        if answer.status_code == 204 or not answer.content:
            return None
        return answer.json()

    @contextmanager
    def stream(self, path: str, *, read_seconds: float) -> Iterator[httpx.Response]:
        """The answer of a GET as it arrives, such as an archive."""
        service = service_of(path)
        try:
            with http_client().stream(
                "GET", url_of(path), headers=self._with_token(""), timeout=_timeout(read_seconds)
            ) as answer:
                if answer.is_error:
                    answer.read()
                    _raise(service, answer)
                yield answer
        except httpx.HTTPError as error:
            raise _unavailable(service, error) from error

    def access_token(self) -> str:
        """A token that is good for some time yet. Raises SessionEnded and ApiUnavailable."""
        if self.log_in is None:
            raise SessionEnded("not_authenticated", "You are not logged in.", status=401)
        if not self.log_in.is_fresh:
            try:
                self._refresh(self.log_in)
            except ApiUnavailable:
                # It is good until it expires: a page is better than none.
                if float(self.log_in.claims.get("exp", 0)) <= time.time():
                    raise
        return self.log_in.access

    def renew(self) -> None:
        """Takes the next tokens now: what they say of the account has just changed."""
        if self.log_in is not None:
            self._refresh(self.log_in)

    def _send(self, method: str, path: str, options: dict[str, Any], *, key: str, is_open: bool) -> httpx.Response:
        service = service_of(path)
        for attempt in (1, 2):
            headers = self._open(key) if is_open else self._with_token(key)
            try:
                answer = http_client().request(method, url_of(path), headers=headers, **options)
            except httpx.HTTPError as error:
                raise _unavailable(service, error) from error
            if not answer.is_error:
                return answer
            try:
                _raise(service, answer)
            except SessionEnded:
                # Roles changed, or keys were rotated: the next token counts. It was refused, so nothing was done.
                if is_open or attempt == 2 or self.log_in is None:
                    raise
                self._refresh(self.log_in)
        raise AssertionError("unreachable")

    def _open(self, key: str) -> dict[str, str]:
        headers = dict(self._headers)
        if key:
            headers["Idempotency-Key"] = key
        if traceparent := current_traceparent():
            headers["traceparent"] = traceparent
        return headers

    def _with_token(self, key: str) -> dict[str, str]:
        return {**self._open(key), "Authorization": f"Bearer {self.access_token()}"}

    def _refresh(self, log_in: LogIn) -> None:
        def exchange(token: str, key: str) -> tuple[str, str]:
            pair = self.call("POST", "auth/refresh", body={"refresh": token}, key=key, is_open=True)
            return str(pair["access"]), str(pair["refresh"])

        try:
            refresh(log_in, exchange)
        except ApiRefused as refused:
            if refused.status != 401:
                raise
            log_in.is_ended = log_in.is_changed = True
            raise SessionEnded(refused.code, refused.message, refused.details, status=401) from None


def _cursor(address: str | None) -> str:
    """The cursor in the address of another page; empty without one."""
    return next(iter(parse_qs(urlsplit(address or "").query).get("cursor", [])), "")


def service_of(path: str) -> str:
    return SERVICE_OF.get(path.partition("/")[0], OTHERWISE)


def url_of(path: str) -> str:
    """Where a path below /api/v1/ is answered, inside the platform."""
    env, service = settings.ENVIRONMENT, service_of(path)
    host, port = getattr(env, f"{service}_host"), getattr(env, f"{service}_port")
    return f"http://{host}:{port}/api/v1/{path}"


_clients: dict[int, httpx.Client] = {}
_making = threading.Lock()


def http_client() -> httpx.Client:
    """The connections of this process, made after its fork. Proxies of the environment are not used."""
    client = _clients.get(os.getpid())
    if client is None:
        with _making:
            client = _clients.setdefault(
                os.getpid(),
                # gunicorn keeps idle connections for 75 s: this side lets go first and reuses none as it closes.
                httpx.Client(
                    transport=httpx.HTTPTransport(
                        retries=1,
                        limits=httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0),
                    ),
                    trust_env=False,
                    follow_redirects=False,
                ),
            )
    return client


def _timeout(read_seconds: float) -> httpx.Timeout:
    return httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)


def _unavailable(service: str, error: httpx.HTTPError) -> ApiUnavailable:
    log.warning("api_call_failed", service=service, error=type(error).__name__)
    return ApiUnavailable(service, code="gateway_timeout" if isinstance(error, httpx.TimeoutException) else "")


def _raise(service: str, answer: httpx.Response) -> None:
    """Raises what an error response means."""
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
        details = error.get("details") or {}
    except (ValueError, KeyError, TypeError):
        raise ApiUnavailable(service) from None
    retry_after = _seconds(answer.headers.get("Retry-After"))
    if answer.status_code >= 500:
        raise ApiUnavailable(service, message, code=code, retry_after=retry_after)
    kind = SessionEnded if answer.status_code == 401 and code in _ENDED else ApiRefused
    raise kind(code, message, details, status=answer.status_code, retry_after=retry_after)


def _seconds(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _sentences(value: Any) -> list[str]:
    """DRF nests errors of lists and objects; a person reads sentences."""
    if isinstance(value, dict):
        return [sentence for each in value.values() for sentence in _sentences(each)]
    if isinstance(value, list):
        return [sentence for each in value for sentence in _sentences(each)]
    return [str(value)]
