"""Liveness touches nothing; readiness says what is down by name, and serves all the same."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.management.commands import run_mailer
from apps.audit import checkpointer, verifier
from apps.core.process_table import PROCESSES
from apps.events.commands.retry_router import router
from apps.events.consumers import rabbitmq
from apps.events.consumers.process import PROCESS_OF_SERVICE
from apps.events.models import ProcessHeartbeat
from apps.events.outbox.dispatcher import dispatcher
from apps.events.outbox.relay.shards import Shard
from apps.events.process.heartbeats import BROKERS, forget_silent
from apps.ops.health import EXPECTED, platform_health
from apps.ops.housekeeping import keeper
from apps.trading import reconciler, scheduler

pytestmark = pytest.mark.django_db


def _beat(name: str, state: str, *, seconds_ago: float = 0.0) -> None:
    ProcessHeartbeat.objects.create(
        name=name, host="h", pid=1, state=state, beat_at=timezone.now() - timedelta(seconds=seconds_ago)
    )


def test_live_answers_without_a_database(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        response = Client().get("/health/live")
    assert response.json() == {"status": "live", "service": settings.SERVICE}


def test_ready_when_everything_is_up() -> None:
    _beat("kafka", "up")
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"], response.json()["degraded"]) == (200, "ready", [])


def test_a_broker_that_is_down_degrades_but_serves() -> None:
    _beat("kafka", "up")
    _beat("rabbitmq", "down")
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["degraded"] == ["rabbitmq"]


def test_a_process_that_fell_silent_counts_as_down() -> None:
    _beat("checkpointer", "up", seconds_ago=60)
    assert Client().get("/health/ready").json()["degraded"] == ["checkpointer"]


def _states(path: str = "/health/ready") -> dict[str, str]:
    return {each["name"]: each["state"] for each in Client().get(path).json()["dependencies"]}


def test_a_worker_that_was_replaced_ten_minutes_ago_is_forgotten() -> None:
    _beat("worker-high@old", "up", seconds_ago=601)
    _beat("worker-high@new", "up")
    assert "worker-high@old" not in _states()
    assert _states()["worker-high@new"] == "up"


def test_a_worker_that_fell_silent_less_than_ten_minutes_ago_is_down_although_others_live() -> None:
    _beat("worker-high@old", "up", seconds_ago=590)
    _beat("worker-high@new", "up")
    assert _states()["worker-high@old"] == "down"


def test_the_last_worker_of_a_kind_stays_down_however_long_it_is_silent() -> None:
    _beat("worker-high@one", "up", seconds_ago=7200)
    _beat("worker-high@two", "up", seconds_ago=3600)
    _beat("worker@one", "up")
    states = _states()
    assert states["worker-high@two"] == "down"
    assert "worker-high@one" not in states


@pytest.mark.parametrize("name", ["relay", "relay.1", "rabbitmq", "retry-router.high", "scheduler", "checkpointer"])
def test_a_process_without_a_successor_never_leaves(name: str) -> None:
    _beat("relay.0", "up")
    _beat(name, "up", seconds_ago=30 * 24 * 3600)
    assert forget_silent(now=timezone.now()) == 0
    assert _states()[name] == "down"


def test_housekeeping_deletes_what_readiness_has_forgotten_and_nothing_else() -> None:
    _beat("worker@old", "up", seconds_ago=601)
    _beat("worker@new", "up", seconds_ago=599)
    _beat("worker-high@old", "up", seconds_ago=3600)
    _beat("relay", "down", seconds_ago=3600)
    assert forget_silent(now=timezone.now()) == 1
    assert set(ProcessHeartbeat.objects.values_list("name", flat=True)) == {
        "worker@new",
        "worker-high@old",
        "relay",
    }


def test_a_silent_process_is_shown_with_what_to_do() -> None:
    _beat("checkpointer", "up", seconds_ago=60)
    [found] = [each for each in Client().get("/health/ready").json()["dependencies"] if each["name"] == "checkpointer"]
    assert found["detail"].startswith("Silent for 6")
    assert "see its log" in found["detail"]


class TestTheWholePlatform:
    def test_an_expected_process_that_never_reported_is_down(self) -> None:
        states = {each["name"]: each for each in platform_health(now=timezone.now())[1]["dependencies"]}
        assert {name for name in EXPECTED if states[name]["state"] == "down"} == set(EXPECTED)
        assert states["scheduler"]["detail"] == "No such process has reported: start it."

    def test_shards_and_hosts_stand_for_their_process(self) -> None:
        for name in ("relay.0", "relay.1", "worker-high@host", "worker-ticks@host"):
            _beat(name, "up")
        states = {each["name"]: each["state"] for each in platform_health(now=timezone.now())[1]["dependencies"]}
        assert not {"relay", "worker-high", "worker-ticks"} & set(states)
        assert states["worker"] == "down"

    def test_every_process_of_the_table_that_has_a_heartbeat_writes_it_under_its_own_name(self) -> None:
        written = {
            Shard().process_name, dispatcher.NAME, rabbitmq.HEARTBEAT, scheduler.NAME, reconciler.NAME,
            checkpointer.NAME, verifier.NAME, run_mailer.NAME, keeper.NAME, router.HEARTBEAT,
        }  # fmt: skip
        consumers = set(PROCESS_OF_SERVICE.values())
        by_hand = {name for name, process in PROCESSES.items() if process.kind == "command"} - consumers
        assert written == by_hand
        assert set(EXPECTED) == by_hand | consumers | {"worker", "worker-high", "worker-ticks", *BROKERS}


OLD_NAMES = (
    "relay-1", "router", "router.high", "consumer.kraken.bot-read-models", "worker:worker-high-run@host",
    "sealer", "accounts",
)  # fmt: skip


@pytest.mark.parametrize("name", OLD_NAMES)
def test_a_row_that_an_earlier_release_left_is_no_ghost_in_the_health_report(name: str) -> None:
    _beat(name, "up", seconds_ago=16)
    _beat("relay", "up")
    assert name not in _states()
    assert Client().get("/health/ready").json()["degraded"] == []


@pytest.mark.parametrize("name", OLD_NAMES)
def test_a_process_of_an_earlier_release_that_still_runs_is_shown(name: str) -> None:
    _beat(name, "up", seconds_ago=2)
    assert _states()[name] == "up"


@pytest.mark.parametrize("name", OLD_NAMES)
def test_housekeeping_deletes_the_rows_of_an_earlier_release(name: str) -> None:
    _beat(name, "up", seconds_ago=601)
    _beat("relay", "up", seconds_ago=601)
    assert forget_silent(now=timezone.now()) == 1
    assert list(ProcessHeartbeat.objects.values_list("name", flat=True)) == ["relay"]


def test_metrics_are_in_the_text_format_of_prometheus() -> None:
    assert b"python_info" in Client().get("/metrics").content


def test_a_process_that_is_silent_since_the_clock_was_set_back_is_down() -> None:
    """Its last report is of an hour that comes again."""
    _beat("kafka", "up")
    _beat("rabbitmq", "up", seconds_ago=-3600)
    response = Client().get("/health/ready")
    assert response.json()["degraded"] == ["rabbitmq"]


def test_strangers_at_the_gateway_see_no_host_names() -> None:
    for host in ("build-7.internal", "build-8.internal"):
        _beat(f"worker-high@{host}", "up")
    _beat("worker@build-7.internal", "down")

    answer = Client().get("/health/ready", HTTP_X_FORWARDED_FOR="203.0.113.7")

    assert "build-" not in answer.content.decode()
    assert answer.json()["degraded"] == ["worker"]
    names = {each["name"] for each in answer.json()["dependencies"]}
    assert {"worker", "worker-high", "worker-high.2"} <= names
