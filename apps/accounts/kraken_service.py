"""The kraken service, as the user service calls it: with a service token, never through the gateway."""

from typing import Any
from uuid import UUID

import requests
from django.conf import settings

from apps.core.errors import DependencyUnavailable
from apps.core.service_calls import service_call

TIMEOUT_SECONDS = (2.0, 10.0)
_AUDIENCE = "kraken"

Remaining = list[dict[str, Any]]


def closure_holdings(*, user_id: UUID) -> Remaining:
    """Bots that hold coins or have orders. Raises DependencyUnavailable."""
    return _call("GET", user_id, "holdings")


def closure_step(*, user_id: UUID) -> Remaining:
    """Goes on with a closure there; idempotent. What remains. Raises DependencyUnavailable."""
    return _call("POST", user_id, "remaining")


def _call(method: str, user_id: UUID, member: str) -> Remaining:
    env = settings.ENVIRONMENT
    url = f"http://{env.kraken_host}:{env.kraken_port}/internal/closures/{user_id}"
    try:
        response = service_call(method, url, audience=_AUDIENCE, timeout=TIMEOUT_SECONDS)
        found: Remaining = response.json()[member]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise DependencyUnavailable(
            "The kraken service does not answer, so it is not known what your bots hold. Try again."
        ) from error
    return found
