"""An ended session ends everywhere: over HTTP, in services that have no sessions of their own."""

import time
from collections.abc import Callable

import requests

from apps.core.identity.revocations import READ_EVERY
from apps.ops.smoke_test.client import PlatformClient
from tests.support.waiting import eventually

PATHS = ("/api/v1/bot", "/api/v1/kraken/keys", "/api/v1/onboarding", "/api/v1/user/me")


def _statuses(client: PlatformClient) -> set[int]:
    headers = {"Authorization": f"Bearer {client.token}"}
    return {requests.get(f"{client.base_url}{path}", headers=headers, timeout=15).status_code for path in PATHS}


def test_after_a_log_out_no_service_takes_the_access_token(log_in: Callable[[], PlatformClient]) -> None:
    mine, other = log_in(), log_in()
    assert _statuses(mine) == {200}

    headers = {"Authorization": f"Bearer {mine.token}"}
    assert requests.post(f"{mine.base_url}/api/v1/auth/logout", headers=headers, timeout=15).status_code == 204
    started = time.monotonic()

    eventually(lambda: _statuses(mine) == {401}, seconds=60, what="every service to refuse the token")
    assert time.monotonic() - started < 60
    assert _statuses(other) == {200}
    assert READ_EVERY.total_seconds() < 60
