"""Scheduler and reconciler are down where what has been due longest is not looked at, whatever else goes on."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from apps.trading.models.runs import BotRun
from apps.trading.reconciler import Reconciler
from apps.trading.scheduler import Scheduler
from tests.factories.trading import context_of, fake_exchange, only_intent, planned_order, running_bot
from tests.integration.trading.test_scheduler import Recorder
from tests.support.relaying import another_session
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_SECONDS = 0.6


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.events.process.progress.LIMIT_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    heartbeats._written.clear()


def state_after(step: Callable[[], Any], name: str) -> str:
    step()
    return ProcessHeartbeat.objects.get(name=name).state


def due_run() -> BotRun:
    run = running_bot(context_of(fake_exchange()))
    BotRun.objects.filter(id=run.id).update(next_tick_at=timezone.now() - timedelta(seconds=1))
    return run


def test_a_tick_that_cannot_be_scheduled_is_told_although_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, _ = due_run(), due_run()
    sender = Recorder()
    scheduler = Scheduler(sender)
    with another_session() as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM bots.trading_bot_run WHERE id = %s FOR UPDATE", [str(stuck.id)])
        eventually(lambda: state_after(scheduler.step, "scheduler") == "down", what="the news of it")
        detail = ProcessHeartbeat.objects.get(name="scheduler").detail
        assert detail.startswith("No tick was scheduled for 0 s; waiting: ")
        assert f"Run {stuck.id} has been due for" in detail
        assert sender.sent
        session.rollback()
    eventually(lambda: state_after(scheduler.step, "scheduler") == "up", what="the news of its recovery")


def test_a_scheduler_with_much_or_nothing_to_do_is_up() -> None:
    scheduler = Scheduler(Recorder())
    for runs in (0, 2):
        for _ in range(runs):
            due_run()
        began = time.monotonic()
        while time.monotonic() - began < 3 * LIMIT_SECONDS:
            assert state_after(scheduler.step, "scheduler") == "up"


def test_an_order_that_is_not_looked_at_is_told() -> None:
    planned_order(fake_exchange())
    order_id = only_intent().cl_ord_id
    idle = Reconciler(reconcile=lambda *_, **__: 0)
    eventually(lambda: state_after(idle.step, "reconciler") == "down", what="the news of it")
    detail = ProcessHeartbeat.objects.get(name="reconciler").detail
    assert detail.startswith("No order was looked at for 0 s; waiting: 1. ")
    assert f"Order {order_id} has been due for" in detail

    reconciler = Reconciler()
    eventually(lambda: state_after(reconciler.step, "reconciler") == "up", what="the news of its recovery")


def test_a_reconciler_without_orders_is_up() -> None:
    reconciler = Reconciler()
    began = time.monotonic()
    while time.monotonic() - began < 3 * LIMIT_SECONDS:
        assert state_after(reconciler.step, "reconciler") == "up"
