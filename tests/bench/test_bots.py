"""What many bots on one pair and interval cost: calls to the public API, and time to decide on a closed candle.

Nothing is asserted about time: the machine is shared. That every bot decides is, and that calls do not grow with bots.
"""

import multiprocessing
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.db.models import Model
from django.utils import timezone

from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.exchange.types import ServerStatus
from apps.trading.candle_watcher import CandleWatcher
from apps.trading.models.ledger import Position
from apps.trading.models.runs import BotRun
from apps.trading.models.series import CandleSeries
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.runs.candle_watch import runs_wake
from apps.trading.services.runs.schedule import IDLE, runs_take_due
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.bench.figures import record_figure
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import FALLING, add_candle, candles, context_of, running_bot
from tests.factories.vault import stored_credential

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

Row = TypeVar("Row", bound=Model)

CANDLES = 720
DECIDED = 1_000
PROCESSES = 2
PUBLIC = ("ohlc", "ticker", "instruments", "instrument", "order_book", "server_status")


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, market_of_its_own: None) -> FakeExchange:
    fake = FakeExchange()
    # A falling market: a crossover strategy without a position has nothing to do.
    fake.set_candles(candles([Decimal(40_000 - number) for number in range(CANDLES)]))
    return use_fake_exchange(monkeypatch, fake)


def bots(number: int, exchange: FakeExchange) -> list[UUID]:
    """The ids of so many running, idle bots of one key, all of which have decided on the last candle."""
    if not BotRun.objects.exists():
        user_id = uuid4()
        credential = stored_credential(user_id=user_id)
        run = running_bot(replace(context_of(exchange), clock=timezone.now), credential_id=credential.id)
        BotRun.objects.filter(id=run.id).update(user_id=user_id)
        assert tick_run(run_id=run.id) == TickOutcome.DECIDED
    first = BotRun.objects.first()
    assert first is not None
    position = Position.objects.get(bot_id=first.bot_id)
    wanted = number - BotRun.objects.count()
    names = [(new_id(), new_id(), new_id()) for _ in range(wanted)]
    runs, positions = [], []
    for run_id, bot_id, command_id in names:
        runs.append(_copy(first, id=run_id, bot_id=bot_id, start_command_id=command_id))
        positions.append(_copy(position, id=None, bot_id=bot_id))
    BotRun.objects.bulk_create(runs, batch_size=1000)
    Position.objects.bulk_create(positions, batch_size=1000)
    last = CandleSeries.objects.values_list("last_candle_at", flat=True).first() or first.decided_candle_at
    BotRun.objects.update(is_idle=True, next_tick_at=timezone.now() + IDLE, decided_candle_at=last)
    return list(BotRun.objects.values_list("id", flat=True))


def _copy(row: Row, **changes: object) -> Row:
    fields = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return type(row)(**(fields | changes))


def public_calls(exchange: FakeExchange) -> int:
    return sum(exchange.calls.count(call) for call in PUBLIC)


@pytest.mark.parametrize("number", [10, 1_000])
def test_public_calls_of_idle_bots(exchange: FakeExchange, number: int) -> None:
    """Candles of half a second pass, and each time a part of the bots ticks on the closed one."""
    seconds, rounds = 0.5, 20
    exchange.status = ServerStatus("online", datetime(2026, 1, 1, tzinfo=UTC), True, {"XBTUSD": 3600 / seconds})
    ids = bots(number, exchange)
    watcher = CandleWatcher(Mode.PAPER)
    watcher.step()
    before, ticks = public_calls(exchange), 0
    for _ in range(rounds):
        add_candle(exchange, exchange.candles["XBTUSD", 60][-1].close - 1)
        ends_at = time.monotonic() + seconds
        woken = False
        while time.monotonic() < ends_at:
            time.sleep(min(watcher.step(), max(0.0, ends_at - time.monotonic())))
            if not woken and BotRun.objects.filter(is_idle=False).exists():
                woken = True
                for run_id in ids[:10]:
                    ticks += tick_run(run_id=run_id) == TickOutcome.DECIDED
    calls = public_calls(exchange) - before
    assert calls <= 2 * rounds + 2
    record_figure("public calls a candle", calls / rounds, "", better="lower", goal=2, note=f"{number:,} idle bots")
    print(
        f"\n{number:,} idle bots on one pair and interval: {calls / rounds:.2f} public calls a candle of {rounds} "
        f"({ticks} of their ticks decided meanwhile; goal at most 2, whatever the number of bots)"
    )


@pytest.mark.parametrize("number", [100, 1_000, 10_000])
def test_due_bots_on_a_closed_candle(exchange: FakeExchange, number: int) -> None:
    bots(number, exchange)
    watcher = CandleWatcher(Mode.PAPER)
    watcher.step()
    bots(number, exchange)
    add_candle(exchange, FALLING[-1])
    CandleSeries.objects.update(next_look_at=timezone.now() - timedelta(seconds=1))

    began = time.monotonic()
    watcher.step()
    runs_wake(now=timezone.now())
    woken = time.monotonic() - began
    due: list[UUID] = []
    while taken := runs_take_due(now=timezone.now(), tick_seconds=60):
        due += [run.run_id for run in taken]
    taken_after = time.monotonic() - began
    assert len(due) == number

    ids = due[:DECIDED]
    began = time.monotonic()
    decided, calls, cpu = _decide(ids)
    passed = time.monotonic() - began
    assert decided == len(ids)
    assert calls <= PROCESSES
    sizes = f"{number:,} due bots on one closed candle, {PROCESSES} processes"
    record_figure("due bots taken after", taken_after, "s", better="lower", note=sizes)
    record_figure("1,000 due bots decided in", 1000 * passed / len(ids), "s", better="lower", goal=5, note=sizes)
    print(
        f"\n{number:,} due bots on one closed candle: woken in {woken:.2f} s, taken in {taken_after:.2f} s; "
        f"{len(ids):,} decided in {passed:.2f} s by {PROCESSES} processes ({1000 * passed / len(ids):.1f} ms and "
        f"{1000 * cpu / len(ids):.1f} ms of CPU each, {calls} public calls; goal 1,000 in 5 s, the same at any number)"
    )


def _decide(ids: list[UUID]) -> tuple[int, int, float]:
    """Ticks in processes of their own: how many decided, the candles asked for, seconds of CPU."""
    connections.close_all()
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def work(part: list[UUID]) -> None:
        exchange = LIVE_CONTEXT.open_exchange(BotRun.objects.get(id=part[0]))
        assert isinstance(exchange, FakeExchange)
        exchange.calls.clear()
        began = time.process_time()
        decided = sum(tick_run(run_id=run_id) == TickOutcome.DECIDED for run_id in part)
        results.put((decided, exchange.calls.count("ohlc"), time.process_time() - began))
        results.close()
        results.join_thread()
        os._exit(0)

    workers = [context.Process(target=work, args=(ids[index::PROCESSES],)) for index in range(PROCESSES)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    return sum(each[0] for each in found), sum(each[1] for each in found), sum(each[2] for each in found)
