"""Expected failures. A class answers three questions: the HTTP status, whether a retry may help, and its code."""

from typing import Any, ClassVar


class PlatformError(Exception):
    """An expected failure with a code for programs and a sentence for people.

    `details` may be shown to the user: never put a secret into them.
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
    """Not there, or not the caller's: the two look alike on purpose."""

    code = "not_found"
    http_status = 404


class Conflict(PlatformError):
    """The state does not allow it now."""

    code = "conflict"
    http_status = 409


class Refused(PlatformError):
    """Understood, and refused by a rule."""

    code = "refused"
    http_status = 422


class TooManyRequests(PlatformError):
    """Come back after `retry_after_seconds`."""

    code = "too_many_requests"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int, **details: Any) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds, **details)
        self.retry_after_seconds = retry_after_seconds


class DependencyUnavailable(PlatformError):
    """A server that this answer cannot do without does not answer."""

    code = "dependency_unavailable"
    http_status = 503
    retryable = True
