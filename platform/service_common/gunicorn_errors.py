"""gunicorn's answers to requests that it cannot read: in the one error shape, where gunicorn itself sends HTML."""

import json
from typing import Any
from uuid import uuid4

from gunicorn import util  # type: ignore[import-untyped]

# status: code and message, as the gateway has them (nginx/nginx.conf.template)
ANSWERS = {
    400: ("malformed", "The request is malformed."),
    403: ("forbidden", "This is not allowed."),
    414: ("request_too_large", "The address is too long."),
    417: ("malformed", "The expectation in the header Expect cannot be met."),
    431: ("request_too_large", "The request's headers are too large or too many."),
    500: ("internal", "Something went wrong on our side; it has been recorded."),
    501: ("not_implemented", "The request uses a part of HTTP that is not supported here."),
}


def answer(status: int, reason: str) -> bytes:
    """A whole HTTP response. gunicorn's own message is left out: it repeats what the client sent.

    The request's id was not read: the one in the body is new. Behind the gateway the header X-Accel-Redirect
    makes the gateway answer instead, with its own.
    """
    status = status if status in ANSWERS else 500
    code, message = ANSWERS[status]
    request_id = uuid4().hex
    body = json.dumps({"error": {"code": code, "message": message, "details": {}, "request_id": request_id}})
    headers = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
        f"X-Accel-Redirect: /gateway-error/{status}",
    )
    return ("\r\n".join(headers) + "\r\n\r\n" + body).encode()


def write_error(sock: Any, status: int, reason: str, _message: str) -> None:
    util.write_nonblock(sock, answer(status, reason))


def install() -> None:
    """Replaces gunicorn's page. Its workers look `util.write_error` up at each error; there is no setting for it."""
    util.write_error = write_error
