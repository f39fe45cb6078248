"""How fast a read model is rebuilt, and for how long its consumers wait at the end. Nothing is asserted about time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from apps.audit.replay.shadow import Shadow
from apps.bots.models import BotStatus, BotTrade
from apps.events.consumers.registry import load_consumers
from apps.events.models import OutboxRow
from tests.bench.figures import record_figure
from tests.integration.audit.traffic import Traffic, handled

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

EVENTS = 20_000


def test_a_rebuild_and_the_wait_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    load_consumers()
    Traffic(bots=50).publish(EVENTS // 4)
    OutboxRow.objects.all().delete()
    waits: list[float] = []
    paused = Shadow.consumers_paused

    @contextmanager
    def timed(self: Shadow) -> Iterator[Any]:
        with paused(self):
            began = time.perf_counter()
            yield
        waits.append(time.perf_counter() - began)

    monkeypatch.setattr(Shadow, "consumers_paused", timed)
    for state in ("empty", "right", "all wrong"):
        if state == "all wrong":
            BotTrade.objects.update(realised_pnl=-1)
            BotStatus.objects.update(trades=0)
        began, cpu = time.perf_counter(), time.process_time()
        call_command("replay_events", into="bot-read-models", stdout=StringIO(), stderr=StringIO())
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        wait = waits.pop() * 1000
        record_figure(
            f"rebuild, live model {state}", EVENTS / seconds, "events/s", better="higher", note=f"{EVENTS:,} events"
        )
        record_figure(
            f"wait of the consumers, live model {state}", wait, "ms", better="lower", note=f"{EVENTS:,} events"
        )
        print(
            f"\nlive model {state}: {EVENTS / seconds:,.0f} events/s ({cpu / EVENTS * 1e6:,.0f} µs CPU an event), "
            f"consumers wait {wait:,.0f} ms"
        )
    assert handled() == EVENTS
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kraken.bot_trade")
        assert cursor.fetchone() == (EVENTS // 4,)
