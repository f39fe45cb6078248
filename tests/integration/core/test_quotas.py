"""Quotas per user and scope: counted in Redis for all processes, by each process alone without Redis."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from django_redis import get_redis_connection  # type: ignore[import-untyped]
from redis.exceptions import ConnectionError as RedisConnectionError

from apps.core.quotas import LEASE_SECONDS, WITHOUT_REDIS_SECONDS, Quota, QuotaCounter, QuotaExceeded, Scope
from tests.factories.bots import TraderClient

SLOW = Quota(per_minute=20)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def _spent(counter: QuotaCounter, user_id: UUID, quota: Quota, *, tries: int, scope: Scope = Scope.READ) -> int:
    done = 0
    for _ in range(tries):
        try:
            counter.spend(user_id=user_id, scope=scope, quota=quota)
        except QuotaExceeded:
            continue
        done += 1
    return done


def test_a_burst_passes_and_the_next_request_says_when_to_come_back() -> None:
    counter, user_id = QuotaCounter(), uuid4()

    assert _spent(counter, user_id, SLOW, tries=SLOW.burst) == 5
    with pytest.raises(QuotaExceeded) as refused:
        counter.spend(user_id=user_id, scope=Scope.READ, quota=SLOW)

    assert refused.value.details == {"retry_after_seconds": 3, "scope": "read", "per_minute": 20, "burst": 5}


def test_users_and_scopes_have_buckets_of_their_own() -> None:
    counter, user_id = QuotaCounter(), uuid4()
    assert _spent(counter, user_id, SLOW, tries=10, scope=Scope.TRADE) == 5

    assert _spent(counter, user_id, SLOW, tries=10, scope=Scope.SAFETY) == 5
    assert _spent(counter, uuid4(), SLOW, tries=10, scope=Scope.TRADE) == 5


def test_processes_share_a_bucket_and_take_no_token_twice() -> None:
    user_id, quota = uuid4(), Quota(per_minute=40)
    counters = [QuotaCounter() for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(lambda counter: _spent(counter, user_id, quota, tries=5), counters))

    assert quota.burst == 10
    assert done == 10


def test_reads_take_several_tokens_in_one_round_trip() -> None:
    asked: list[int] = []

    def connect() -> Any:
        asked.append(1)
        return get_redis_connection("default")

    counter, quota = QuotaCounter(connect=connect), Quota(per_minute=400, batch=10)

    assert _spent(counter, uuid4(), quota, tries=30) == 30
    assert len(asked) == 3


def test_what_a_process_took_and_did_not_spend_is_not_kept_for_later() -> None:
    clock, user_id = Clock(), uuid4()
    counter, quota = QuotaCounter(clock), Quota(per_minute=40, batch=10)
    counter.spend(user_id=user_id, scope=Scope.READ, quota=quota)

    clock.seconds += LEASE_SECONDS

    # The whole burst was taken by the first request, and nine tokens of it are lost.
    assert _spent(counter, user_id, quota, tries=5) == 0


def test_a_quota_of_nothing_is_no_quota() -> None:
    assert _spent(QuotaCounter(), uuid4(), Quota(per_minute=0), tries=200) == 200


def test_without_redis_each_process_counts_by_itself_and_does_not_ask_again_at_once() -> None:
    clock, user_id, asked = Clock(), uuid4(), []

    def connect() -> Any:
        asked.append(clock.seconds)
        raise RedisConnectionError

    counter = QuotaCounter(clock, connect)

    assert _spent(counter, user_id, SLOW, tries=20) == 5
    assert len(asked) == 1
    clock.seconds += WITHOUT_REDIS_SECONDS
    assert _spent(counter, user_id, SLOW, tries=20) == 1
    assert len(asked) == 2


@pytest.fixture
def strict(settings: Any) -> None:
    settings.QUOTAS = dict.fromkeys(Scope, SLOW)


@pytest.mark.django_db
@pytest.mark.urls("kraken_service.urls")
@pytest.mark.usefixtures("strict")
def test_stopping_and_halting_are_not_refused_where_trading_is() -> None:
    trader = TraderClient()

    starts = [trader.post(f"/api/v1/bot/{uuid4()}/start", {}) for _ in range(7)]

    assert [answer.status_code for answer in starts] == [404] * 5 + [429] * 2
    error = starts[-1].json()["error"]
    assert (error["code"], error["details"]["scope"]) == ("quota_exceeded", "trade")
    assert int(starts[-1]["Retry-After"]) >= 1
    assert trader.post("/api/v1/bot/stop-all", {}).status_code == 202
    assert trader.post(f"/api/v1/bot/{uuid4()}/stop", {}).status_code == 404
    assert trader.post("/api/v1/trading/halts", {"scope": "user"}).status_code == 201
    assert trader.get("/api/v1/bot").status_code == 200


@pytest.mark.django_db
@pytest.mark.urls("kraken_service.urls")
@pytest.mark.usefixtures("strict")
def test_one_user_s_reads_are_refused_and_another_s_are_not() -> None:
    trader = TraderClient()

    statuses = [trader.get("/api/v1/bot").status_code for _ in range(8)]

    assert statuses == [200] * 5 + [429] * 3
    assert TraderClient().get("/api/v1/bot").status_code == 200
