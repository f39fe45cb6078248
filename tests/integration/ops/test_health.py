"""Liveness touches nothing; readiness says what is down by name, and serves all the same."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.events.models import ProcessHeartbeat

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
    _beat("sealer", "up", seconds_ago=60)
    assert Client().get("/health/ready").json()["degraded"] == ["sealer"]


def test_metrics_are_in_the_text_format_of_prometheus() -> None:
    assert b"python_info" in Client().get("/metrics").content
