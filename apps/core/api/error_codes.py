"""The codes that an error answer may carry: one enum in each service's OpenAPI document.

It is made of the error classes that the service has loaded, and of what the framework and the gateway answer.
"""

import inspect
from collections.abc import Iterator

from apps.core.errors import PlatformError

# Of apps.core.api.errors and of gunicorn, for what Django, DRF and gunicorn refuse.
FRAMEWORK_CODES = {
    "csrf_failed": "A form of the staff site was not accepted: it is old, or was sent from another address.",
    "internal": "Something went wrong on our side; it has been recorded.",
    "invalid_token": "The token is not valid or has expired.",
    "malformed": "The request cannot be understood.",
    "method_not_allowed": "The path does not take this method.",
    "not_implemented": "The request uses a part of HTTP that is not supported.",
    "not_acceptable": "Only application/json is answered.",
    "too_large": "The body is larger than 256 KiB.",
    "unsupported_media_type": "A body must be application/json.",
}

# Of nginx/nginx.conf.template.
GATEWAY_CODES = {
    "https_required": "The port speaks HTTPS alone, or sends clients on to the one that does.",
    "gateway_timeout": "The service took too long; what became of the request is not known.",
    "internal_error": "Something went wrong on our side; it has been recorded.",
    "request_timeout": "The request did not arrive in time.",
    "request_too_large": "The body, the address or the headers are too large.",
}

# Their errors end commands, workers and processes: no request is answered with one.
_NOT_ANSWERED = ("apps.audit.", "apps.events.", "apps.messages.", "apps.ops.", "apps.trading.")


def error_codes() -> dict[str, str]:
    """Every code that this service's callers may get, with what it means, by name."""
    raised = {error.code: _meaning_of(error) for error in _answered(PlatformError)}
    return dict(sorted({**raised, **GATEWAY_CODES, **FRAMEWORK_CODES}.items()))


def _answered(base: type[PlatformError]) -> Iterator[type[PlatformError]]:
    for error in sorted(base.__subclasses__(), key=lambda each: (each.__module__, each.__name__)):
        if error.__module__.startswith("apps.") and not error.__module__.startswith(_NOT_ANSWERED):
            yield error
        yield from _answered(error)


def _meaning_of(error: type[PlatformError]) -> str:
    own = error.__dict__.get("__doc__")
    return " ".join(inspect.cleandoc(own).split("\n\n")[0].split()) if own else ""
