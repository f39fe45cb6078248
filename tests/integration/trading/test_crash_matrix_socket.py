"""The crash matrix with real worker processes, real kills, and the paper exchange over HTTP: one order in the end.

Each row kills a worker of the bot service with SIGKILL at one point; then the next worker and the reconciler go on.
Where the paper exchange cannot misbehave (late visibility, a gateway's page), the wire to it does.
"""

import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import psutil
import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from apps.events.brokers.rabbitmq.messages import outgoing_of
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.models import CommandExecution, OutboxRow
from apps.events.outbox.relay.relay import Relay
from apps.exchange.kraken.client import CallPolicy, KrakenClient
from apps.exchange.models import ExchangeNonce
from apps.exchange.port import Exchange
from apps.messages.base import Command
from apps.messages.bots import TriggerTrade
from apps.trading.models.ledger import Fill, LedgerEntry, Position
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.placement import order_cancel
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.selectors import credential_open
from tests.factories.trading import only_intent
from tests.factories.wire import Wire
from tests.integration.trading.conftest import paper_bot
from tests.support.envelopes import envelope_of
from tests.support.rabbitmq import RabbitMQ
from tests.support.relaying import drive
from tests.support.trading import (
    assert_one_order_adopted,
    bot_service,
    later,
    reconcile,
    worker_begins,
)
from tests.support.waiting import eventually
from tests.support.workers.processes import BIN, Processes, session_of

pytestmark = [pytest.mark.django_db(transaction=True)]

ORDERS = "apps.trading.services.orders"
DECISIONS = "apps.trading.services.runs.decisions"
CLIENT = "apps.exchange.kraken.client:KrakenClient"

PLANNED, SENDING, OPEN, FILLED = IntentState.PLANNED, IntentState.SENDING, IntentState.OPEN, IntentState.FILLED


@dataclass(frozen=True)
class Row:
    """Where the worker dies, the state in which it leaves its order (None: there is none), how many calls have reached
    the exchange by then, and how many attempts there are in the end."""

    name: str
    when: str
    place: str
    leaves: IntentState | None
    sent: int
    attempts: int


ROWS = [
    Row("before the intent is stored", "before", f"{DECISIONS}:intent_plan", None, 0, 1),
    Row("within the intent's transaction", "after", f"{ORDERS}.lifecycle:reservation_set", None, 0, 1),
    Row("after the intent, before SENDING", "after", f"{DECISIONS}:intent_plan", PLANNED, 0, 2),
    Row("after SENDING, before the turn", "after", f"{ORDERS}.placement:intent_mark_sending", SENDING, 0, 2),
    Row("in the turn, signed, before the socket", "before", f"{CLIENT}.post_placement", SENDING, 0, 2),
    Row("after the answer, before it is read", "after", f"{CLIENT}.post_placement", SENDING, 1, 1),
    Row("after the answer, before it is stored", "before", f"{ORDERS}.placement:intent_accepted", SENDING, 1, 1),
    Row("after it is stored, before publishing", "after", f"{ORDERS}.placement:intent_accepted", OPEN, 1, 1),
    Row("after the fill, before it is stored", "before", f"{ORDERS}.placement:order_record", OPEN, 1, 1),
    Row("within the fill's transaction", "after", f"{ORDERS}.fills:position_get_for_update", OPEN, 1, 1),
    Row("after the fill is stored", "after", f"{ORDERS}.placement:order_record", FILLED, 1, 1),
]


@pytest.fixture
def through_wire(wire: Wire, settings: Settings) -> None:
    """This process too reaches the exchange over the wire."""
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"paper_exchange_url": wire.url})


def killed(worker: "subprocess.Popen[bytes]", processes: Processes) -> None:
    assert worker.wait(30) == -signal.SIGKILL, processes.logs()


def assert_one_order_booked_once(exchange: Exchange) -> None:
    """One order on the exchange, one placed intent, its fills booked once, and nothing reserved."""
    [order] = exchange.closed_orders()
    assert exchange.open_orders() == []
    placed = OrderIntent.objects.get(state=FILLED)
    assert (placed.txid, placed.cl_ord_id) == (order.exchange_order_id, order.client_order_id)
    assert not OrderIntent.objects.filter(state__in=ACTIVE_STATES).exists()
    assert sorted(Fill.objects.values_list("exchange_trade_id", flat=True)) == sorted(order.trade_ids)
    position = Position.objects.get()
    assert (position.base_volume, position.quote_reserved, position.base_reserved) == (order.executed_volume, 0, 0)
    assert LedgerEntry.objects.filter(fill__isnull=False).exists()


@pytest.mark.parametrize("row", ROWS, ids=[row.name.replace(" ", "_") for row in ROWS])
def test_a_worker_killed_at_this_point_leaves_one_order_in_the_end(row: Row, wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    killed(worker_begins(processes, wire, run, "kill", row.when, row.place), processes)
    assert list(OrderIntent.objects.values_list("state", flat=True)) == ([row.leaves] if row.leaves else [])
    assert wire.calls("AddOrder") == len(exchange.closed_orders()) == row.sent

    # The next worker; nobody waits for the lease of a worker that is known to be dead.
    tick_run(run_id=run.id)
    if row.leaves is SENDING:
        assert only_intent().state == IntentState.UNKNOWN
        reconcile(16)
        if row.attempts == 2:
            assert only_intent().state == IntentState.UNKNOWN
            reconcile(400)
            assert only_intent().state == IntentState.NOT_PLACED
            tick_run(run_id=run.id)
    assert OrderIntent.objects.count() == row.attempts
    assert_one_order_booked_once(exchange)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_worker_killed_while_it_waits_for_the_answer(arrives: bool, wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    wire.hold("AddOrder", arrives=arrives)
    worker = worker_begins(processes, wire, run)
    assert wire.held.wait(20), processes.logs()
    assert only_intent().state == SENDING
    worker.kill()
    killed(worker, processes)

    tick_run(run_id=run.id)
    reconcile(16)
    if not arrives:
        assert (only_intent().state, exchange.closed_orders()) == (IntentState.UNKNOWN, [])
        reconcile(400)
        tick_run(run_id=run.id)
    assert OrderIntent.objects.count() == (1 if arrives else 2)
    assert_one_order_booked_once(exchange)


def test_what_a_killed_worker_committed_is_published_by_the_relay(wire: Wire, processes: Processes) -> None:
    run, _ = paper_bot()
    place = f"{ORDERS}.placement:order_record"
    killed(worker_begins(processes, wire, run, "kill", "after", place), processes)
    waiting = OutboxRow.objects.filter(transport="kafka")
    assert waiting.exists()

    call_command("declare_topology", "--only", "kafka", stdout=StringIO())
    relay = Relay(lease_seconds=3.0)
    try:
        drive(relay, until=lambda: not waiting.exists(), seconds=60)
    finally:
        relay.close()


def test_an_error_page_after_a_resting_order_was_placed(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    wire.garble("AddOrder")
    assert worker_begins(processes, wire, run, work="rest").wait(30) == 0, processes.logs()
    assert only_intent().state == IntentState.UNKNOWN

    reconcile(6)
    [order] = exchange.open_orders()
    intent = only_intent()
    assert (intent.state, intent.txid) == (OPEN, order.exchange_order_id)
    assert wire.calls("AddOrder") == 1
    assert exchange.closed_orders() == []


def test_an_error_page_after_an_order_was_placed_and_filled(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    wire.garble("AddOrder")
    assert worker_begins(processes, wire, run).wait(30) == 0, processes.logs()
    assert only_intent().state == IntentState.UNKNOWN
    tick_run(run_id=run.id)  # and decides nothing a second time

    reconcile(6)
    assert_one_order_adopted(exchange)
    assert wire.calls("AddOrder") == 1


def test_an_order_that_becomes_visible_after_55_seconds(wire: Wire, processes: Processes, through_wire: None) -> None:
    run, exchange = paper_bot()
    wire.garble("AddOrder")
    assert worker_begins(processes, wire, run).wait(30) == 0, processes.logs()
    wire.answer("OpenOrders", b'{"error":[],"result":{"open":{}}}')
    wire.answer("ClosedOrders", b'{"error":[],"result":{"closed":{},"count":0}}')
    for seconds in (6, 11, 21, 36):
        reconcile(seconds)
        assert only_intent().state == IntentState.UNKNOWN
    tick_run(run_id=run.id, context=later(40))
    assert OrderIntent.objects.count() == 1

    wire.answer_truly()
    reconcile(66)
    assert_one_order_adopted(exchange)
    assert wire.calls("AddOrder") == 1


def test_two_workers_at_one_bot_place_one_order(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    workers = [worker_begins(processes, wire, run) for _ in range(2)]
    assert [worker.wait(30) for worker in workers] == [0, 0], processes.logs()

    assert wire.calls("AddOrder") == 1
    assert_one_order_booked_once(exchange)


def test_a_worker_frozen_before_it_connects_is_succeeded_and_sends_nothing(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    # The first signed call of a first tick is the placement.
    worker = worker_begins(processes, wire, run, "freeze", "before", f"{CLIENT}.post_signed")
    frozen = psutil.Process(worker.pid)
    eventually(lambda: frozen.status() == psutil.STATUS_STOPPED, what="a frozen worker")
    assert only_intent().state == SENDING
    assert tick_run(run_id=run.id, context=later(31)) != TickOutcome.BUSY
    assert only_intent().state == IntentState.UNKNOWN
    time.sleep(2.2)

    worker.send_signal(signal.SIGCONT)
    assert worker.wait(30) == 0, processes.logs()
    assert wire.calls("AddOrder") == 0
    assert (exchange.open_orders(), exchange.closed_orders()) == ([], [])
    reconcile(400)
    assert only_intent().state == IntentState.NOT_PLACED


def test_a_clock_stepped_back_ten_seconds_repeats_no_nonce(wire: Wire, processes: Processes) -> None:
    run, exchange = paper_bot()
    exchange.balances()
    last = ExchangeNonce.objects.get().last_nonce
    assert worker_begins(processes, wire, run, "clock", "10").wait(30) == 0, processes.logs()

    assert ExchangeNonce.objects.get().last_nonce > last
    assert wire.calls("AddOrder") == 1
    reconcile(16)
    assert len(exchange.closed_orders()) <= 1


def test_another_program_with_the_key_causes_no_storm(wire: Wire, processes: Processes) -> None:
    """Every call has an invalid nonce from then on. The order is sent once, and is not taken for placed or absent."""
    run, _ = paper_bot()
    key = credential_open(credential_id=run.credential_id, user_id=run.user_id)
    other = KrakenClient(
        url=wire.target, api_key=key.api_key, api_secret=key.api_secret, policy=CallPolicy(), is_internal=True
    )
    far_ahead = time.time_ns() + 3_600_000_000_000
    assert other.post_signed("/0/private/BalanceEx", {}, nonce=far_ahead).json()["error"] == []

    assert worker_begins(processes, wire, run).wait(60) == 0, processes.logs()
    for seconds in (6, 11, 21, 36, 66):
        reconcile(seconds)
    assert wire.calls("AddOrder") == 1
    assert only_intent().state == IntentState.UNKNOWN


def test_a_cancel_that_races_a_fill_ends_as_the_fill(wire: Wire, processes: Processes, through_wire: None) -> None:
    run, exchange = paper_bot()
    assert worker_begins(processes, wire, run, work="rest").wait(30) == 0, processes.logs()
    intent = only_intent()
    assert intent.state == OPEN
    key = credential_open(credential_id=run.credential_id, user_id=run.user_id)
    client = KrakenClient(
        url=wire.target, api_key=key.api_key, api_secret=key.api_secret, policy=CallPolicy(), is_internal=True
    )

    def market_comes_to_the_order() -> None:
        """The order's price moves to the market: it fills while the cancel is on its way."""
        ask = exchange.ticker(run.pair).ask
        nonce = ExchangeNonce.objects.get().last_nonce
        change = {"txid": intent.txid, "limit_price": str(ask)}
        # Between the platform's own nonces: its next one is the cancel's, drawn already.
        answer = client.post_signed("/0/private/AmendOrder", change, nonce=nonce - 1).json()
        assert answer["error"] == [], answer

    wire.first("CancelOrder", market_comes_to_the_order)
    ended = order_cancel(intent, deps=LIVE_CONTEXT.deps(run))
    assert (ended.state, ended.filled_volume) == (FILLED, ended.volume)
    assert_one_order_booked_once(exchange)


class TestRedelivery:
    """A trading command through RabbitMQ: the worker dies with it in hand, and the broker delivers it again."""

    @pytest.fixture
    def processes(self, processes: Processes, rabbitmq: RabbitMQ) -> Processes:
        return processes

    @pytest.mark.parametrize("arrives", [True, False])
    def test_a_trade_asked_for_is_one_order(self, wire: Wire, processes: Processes, arrives: bool) -> None:
        run, exchange = paper_bot(strategy="sma_cross", parameters={"fast": 3, "slow": 8, "enter_on_start": False})
        wire.hold("AddOrder", arrives=arrives)
        first = self._worker(processes, wire)
        now = timezone.now()
        command = TriggerTrade(
            command_id=uuid4(),
            bot_id=run.bot_id,
            user_id=run.user_id,
            side="buy",
            quote_amount="100",
            requested_at=now,
            expires_at=now + timedelta(minutes=15),
        )
        self._send(command)
        assert wire.held.wait(30), processes.logs()
        assert only_intent().state == SENDING
        for each in session_of(first.pid):
            each.kill()

        self._worker(processes, wire)
        done = CommandExecution.objects.filter(command_id=command.command_id, state="done")
        eventually(done.exists, seconds=60, what="the command done by the second worker")
        assert done.get().attempts == 2
        assert only_intent().state == IntentState.UNKNOWN
        reconcile(16)
        if arrives:
            assert_one_order_booked_once(exchange)
        else:
            reconcile(400)
            assert only_intent().state == IntentState.NOT_PLACED
            assert exchange.closed_orders() == []
        assert wire.calls("AddOrder") == 1

    @staticmethod
    def _worker(processes: Processes, wire: Wire) -> "subprocess.Popen[bytes]":
        node = f"high-{uuid4().hex[:8]}@localhost"
        command = [
            str(BIN / "celery"), "-A", "celery_app", "worker", "-n", node, "-Q", "bot.trigger_trade", "-c", "1",
            "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip
        return processes.start("worker", command, until=f"{node} ready", **bot_service(wire))

    @staticmethod
    def _send(command: Command) -> None:
        publisher = ConfirmedPublisher("test")
        outcome = publisher.publish([outgoing_of(envelope_of(command, command.command_id, occurred_at=timezone.now()))])
        publisher.close()
        assert set(outcome.verdicts) == {Verdict.CONFIRMED}, outcome.error
