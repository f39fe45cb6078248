"""What it costs a request to know whether its session has ended: the look itself, and its share of the reads."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.identity import revocations
from apps.core.identity.revocations import READ_EVERY, RevokedSessions, sessions_revoke
from tests.bench.figures import record_figure

pytestmark = [pytest.mark.bench, pytest.mark.django_db]

# Log-outs within the life of an access token, and the requests of a process that is busy, but not very.
ENDED = 10_000
REQUESTS_A_SECOND = 100
ROUNDS = 7
GOAL_MS = 0.2


def test_asking_whether_a_session_has_ended() -> None:
    now = timezone.now()
    sessions_revoke(session_ids=[uuid4() for _ in range(ENDED)], now=now - timedelta(minutes=5))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    seconds = 0.0
    sessions = RevokedSessions(revocations._rows, clock=lambda: seconds)
    asked = round(REQUESTS_A_SECOND * READ_EVERY.total_seconds())
    session_id = uuid4()

    costs = []
    for _ in range(ROUNDS):
        began_at = time.perf_counter()
        for _ in range(asked):
            seconds += 1 / REQUESTS_A_SECOND
            assert not sessions.contains(session_id)
        costs.append((time.perf_counter() - began_at) / asked * 1000)

    note = f"{ENDED:,} ended sessions, {REQUESTS_A_SECOND} requests a second and process"
    record_figure("a request's look for its session", costs, "ms", better="lower", goal=GOAL_MS, note=note)
    print(f"\n  {sorted(costs)[ROUNDS // 2] * 1000:.1f} µs a request, its share of the reads included")
