"""The wire to the exchange is cut, or the worker is killed, while an order is on its way: one order, in the end."""

import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.exchange.nonce import signing_turn
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import exchange_of
from apps.trading.services.context.run_lease import LEASE
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.selectors import credential_open
from tests.factories.trading import only_intent
from tests.factories.wire import Wire
from tests.integration.trading.conftest import paper_bot
from tests.support.trading import assert_one_order_adopted, bot_service, reconcile
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True)]

TICK = """
import sys, django
django.setup()
from apps.trading.services.runs.tick import tick_run
print("ticks", flush=True)
print(tick_run(run_id=sys.argv[1]), flush=True)
"""


TICK_WITH_LITTLE_TIME = TICK.replace(
    "print(",
    """from datetime import timedelta
from apps.trading.services.orders import lifecycle
lifecycle.LATEST_DEADLINE = timedelta(seconds=6)
print(""",
    1,
)


def test_a_gateways_error_page_after_the_order_was_placed_and_filled(wire: Wire, settings: Settings) -> None:
    run, exchange = paper_bot()
    through(wire, settings)
    wire.garble("AddOrder")
    tick_run(run_id=run.id)
    assert only_intent().state == IntentState.UNKNOWN
    reconcile(1)
    assert only_intent().state == IntentState.UNKNOWN
    reconcile(6)
    assert_one_order_adopted(exchange)
    assert wire.calls("AddOrder") == 1


def through(wire: Wire, settings: Settings) -> None:
    """Bots reach the exchange over the wire from now on."""
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": wire.url})


def worker_ticks(processes: Processes, wire: Wire, run: BotRun, *, script: str = TICK) -> "subprocess.Popen[bytes]":
    """A worker of the bot service, under its own database role, begins a tick of the run."""
    return processes.start(
        "tick",
        [sys.executable, "-c", script, str(run.id)],
        until="ticks",
        **bot_service(wire),
    )


def kill_while_sending(processes: Processes, wire: Wire, run: BotRun, *, arrives: bool) -> None:
    """kill -9 of a worker that has sent an order and waits for the answer."""
    wire.hold("AddOrder", arrives=arrives)
    worker = worker_ticks(processes, wire, run)
    assert wire.held.wait(20), processes.logs()
    assert only_intent().state == IntentState.SENDING
    worker.kill()
    worker.wait(10)


def test_a_worker_killed_after_the_exchange_took_its_order(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    kill_while_sending(processes, wire, run, arrives=True)

    tick_run(run_id=run.id)
    assert only_intent().state == IntentState.UNKNOWN
    tick_run(run_id=run.id)
    reconcile(16)
    assert_one_order_adopted(exchange)
    assert wire.calls("AddOrder") == 1


def test_a_worker_killed_before_the_exchange_got_its_order(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    kill_while_sending(processes, wire, run, arrives=False)

    tick_run(run_id=run.id)
    reconcile(16)
    assert only_intent().state == IntentState.UNKNOWN
    assert (exchange.open_orders(), exchange.closed_orders()) == ([], [])
    reconcile(400)
    assert only_intent().state == IntentState.NOT_PLACED

    tick_run(run_id=run.id)
    placed = OrderIntent.objects.exclude(txid="").get()
    [order] = exchange.closed_orders()
    assert (order.exchange_order_id, placed.state) == (placed.txid, IntentState.FILLED)


def test_an_order_that_waited_for_its_turn_has_its_whole_deadline_when_it_leaves(
    wire: Wire, processes: Processes
) -> None:
    """A deadline set before the wait arrived with two seconds left, or too late."""
    run, exchange = paper_bot()
    key = credential_open(credential_id=run.credential_id, user_id=run.user_id)
    with signing_turn(key.api_key):
        worker = worker_ticks(processes, wire, run)
        eventually(lambda: OrderIntent.objects.filter(state=IntentState.SENDING).exists())
        time.sleep(5.5)
    assert worker.wait(20) == 0, processes.logs()
    assert wire.calls("AddOrder") == 1
    assert_one_order_adopted(exchange)


def test_a_worker_frozen_before_it_sent_wakes_up_when_the_order_is_too_old(wire: Wire, processes: Processes) -> None:
    """It cannot leave with three seconds left: it is not sent, which is proof that it was not placed."""
    run, exchange = paper_bot()
    key = credential_open(credential_id=run.credential_id, user_id=run.user_id)
    with signing_turn(key.api_key):
        worker = worker_ticks(processes, wire, run, script=TICK_WITH_LITTLE_TIME)
        eventually(lambda: OrderIntent.objects.filter(state=IntentState.SENDING).exists())
        time.sleep(3.5)
    assert worker.wait(20) == 0, processes.logs()
    assert wire.calls("AddOrder") == 0
    assert only_intent().state == IntentState.NOT_PLACED
    assert (exchange.open_orders(), exchange.closed_orders()) == ([], [])


def test_a_worker_frozen_before_it_decided_wakes_up_after_another_took_over(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    wire.hold("Ticker", arrives=True)
    worker = worker_ticks(processes, wire, run)
    assert wire.held.wait(20), processes.logs()
    later = ExecutionContext(open_exchange=exchange_of, clock=lambda: timezone.now() + LEASE + timedelta(seconds=1))
    assert tick_run(run_id=run.id, context=later) == TickOutcome.DECIDED

    wire.let_go()
    assert worker.wait(20) == 0, processes.logs()
    assert processes.logs().splitlines()[-1] == TickOutcome.LOST
    assert len(exchange.closed_orders()) == OrderIntent.objects.count() == 1
    assert wire.calls("AddOrder") == 0
