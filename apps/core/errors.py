"""Base classes of expected failures. A class defines its HTTP status, its code, and whether a retry may help."""

from typing import Any, ClassVar


class PlatformError(Exception):
    """An expected failure: `code` is for programs, `message` is a sentence for a person.

    `details` are shown to the user: they must not contain a secret.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Malformed(PlatformError):
    """The request cannot be understood."""

    code = "malformed"
    http_status = 400


class NotAuthenticated(PlatformError):
    code = "not_authenticated"
    http_status = 401


class Forbidden(PlatformError):
    code = "forbidden"
    http_status = 403


class NotFound(PlatformError):
    """The object does not exist, or is another user's. The response does not tell the two apart, on purpose."""

    code = "not_found"
    http_status = 404


class Conflict(PlatformError):
    """The current state does not allow the request."""

    code = "conflict"
    http_status = 409


class Refused(PlatformError):
    """The request is valid, and a business rule refuses it."""

    code = "refused"
    http_status = 422


class FieldIsImmutable(Refused):
    """The field exists, and it cannot be changed: never, by this call, or not any more.

    `details`: the `field`, and `how` to come to another value, where there is a way.
    """

    code = "field_is_immutable"


class TooManyRequests(PlatformError):
    """Rate limit. Retry after `retry_after_seconds`."""

    code = "too_many_requests"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int, **details: Any) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds, **details)
        self.retry_after_seconds = retry_after_seconds


class DependencyUnavailable(PlatformError):
    """A server that the response depends on does not answer."""

    code = "dependency_unavailable"
    http_status = 503
    retryable = True
