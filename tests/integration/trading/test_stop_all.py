"""Stop-all is a switch: after its answer no bot of the user sends a new order, whatever workers and exchange do."""

import threading
from typing import Any

import pytest

from apps.events.models import CommandExecution
from apps.events.store.selectors import stream_list
from apps.messages.bots import StopBot
from apps.risk.models.switches import BotSwitch
from apps.trading.services.runs.stop import run_stop
from tests.factories.bots import TraderClient
from tests.factories.fleet import Fleet
from tests.factories.trading import delivery_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("kraken_service.urls")]

BOTS = 20
WORKERS = 4


def stop_all(fleet: Fleet, manner: str = "stop") -> list[dict[str, Any]]:
    response = TraderClient(fleet.user_id).post("/api/v1/bot/stop-all", {"manner": manner})
    assert response.status_code == 202
    receipts: list[dict[str, Any]] = response.json()["results"]
    return receipts


@pytest.mark.parametrize("manner", ["pause", "stop", "flatten"])
def test_with_a_frozen_exchange_nothing_is_marked_after_the_answer(manner: str) -> None:
    fleet, thawed = Fleet(bots=BOTS), threading.Event()
    fleet.exchange.on("submit", before=lambda _: thawed.wait(60))
    try:
        with fleet.ticking(workers=WORKERS):
            # Every worker has marked an order and waits for the exchange.
            eventually(lambda: len(fleet.marked()) == WORKERS, seconds=60)
            receipts = stop_all(fleet, manner)
            marked, rounds = fleet.marked(), fleet.rounds
            thawed.set()
            # Until the workers have been at every bot twice since.
            eventually(lambda: fleet.rounds >= rounds + 2, seconds=60)
    finally:
        thawed.set()

    assert len(receipts) == BOTS
    assert fleet.marked() == marked
    assert len(fleet.exchange.submitted) == WORKERS


def test_what_was_being_sent_is_finished_and_named_in_the_receipt() -> None:
    fleet, thawed = Fleet(bots=5), threading.Event()
    fleet.exchange.on("submit", before=lambda _: thawed.wait(60))
    with fleet.ticking(workers=1):
        eventually(lambda: len(fleet.marked()) == 1, seconds=60)
        stop_all(fleet)
        thawed.set()
    for run in fleet.runs:
        [command] = [
            message
            for each in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)
            if isinstance(message := each.message(), StopBot)
        ]
        run_stop(command=command, delivery=delivery_of(command, now=command.requested_at), context=fleet.context)

    results = [execution.result for execution in CommandExecution.objects.filter(name="bot.stop")]
    orders = [order for result in results if result for order in result["orders"]]
    assert [(order["state"], order["exchange_order_id"] != "") for order in orders] == [("filled", True)]
    assert [result["outcome"] for result in results if result] == ["complete"] * 5


def test_another_users_bots_go_on() -> None:
    mine, theirs = Fleet(bots=2), Fleet(bots=2)
    stop_all(mine)
    assert set(BotSwitch.objects.exclude(stop_requested_at=None).values_list("bot_id", flat=True)) == {
        run.bot_id for run in mine.runs
    }
    with theirs.ticking(workers=1):
        eventually(lambda: len(theirs.exchange.submitted) > 2, seconds=60)
