"""Bots on the paper exchange over HTTP: workers as processes, a later reconciler, and what must be true in the end."""

import subprocess
import sys
from datetime import datetime, timedelta

from django.utils import timezone

from apps.exchange.port import Exchange
from apps.exchange.types import OrderStatus
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import exchange_of
from apps.trading.services.orders.reconciliation import orders_reconcile
from tests.factories.trading import only_intent
from tests.factories.wire import Wire
from tests.support.workers.processes import Processes


def later(seconds: float) -> ExecutionContext:
    """The platform's context with its clock and the exchange's set forward."""

    def now() -> datetime:
        return timezone.now() + timedelta(seconds=seconds)

    def open_exchange(run: BotRun) -> Exchange:
        exchange = exchange_of(run)
        exchange.server_time = now  # type: ignore[method-assign]
        return exchange

    return ExecutionContext(open_exchange=open_exchange, clock=now)


def reconcile(seconds_later: float) -> None:
    """A round of the reconciler, that much later than now."""
    orders_reconcile(context=later(seconds_later))


def bot_service(wire: Wire) -> dict[str, str]:
    """The environment of a process of the bot service, under its own database role, that trades over the wire."""
    return {
        "SERVICE": "bot",
        "DJANGO_SETTINGS_MODULE": "bot_service.settings",
        "MUCKARD_DB_ROLE": "bot_service",
        "MUCKARD_PAPER_EXCHANGE_URL": wire.url,
    }


def worker_begins(
    processes: Processes, wire: Wire, run: BotRun, *fault: str, work: str = "tick"
) -> "subprocess.Popen[bytes]":
    """A worker process begins its work for the run, with a fault as `tests.support.workers.dying` takes it."""
    command = [sys.executable, "-m", "tests.support.workers.dying", str(run.id), work, *fault]
    return processes.start(work, command, until="at work", **bot_service(wire))


def assert_one_order_adopted(exchange: Exchange) -> None:
    [order] = exchange.closed_orders()
    intent = only_intent()
    assert (intent.txid, intent.cl_ord_id, intent.state) == (
        order.exchange_order_id,
        order.client_order_id,
        IntentState.FILLED,
    )
    assert order.status == OrderStatus.CLOSED
    assert exchange.open_orders() == []
    assert Fill.objects.count() == len(order.trade_ids)
    assert Position.objects.get().base_volume == order.volume
