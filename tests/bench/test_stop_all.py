"""How many orders are sent after the answer to stop-all with 200 running bots: none. And how long the answer takes."""

import time

import pytest

from tests.bench.figures import record_figure
from tests.factories.bots import TraderClient
from tests.factories.fleet import Fleet
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.bench,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
    pytest.mark.urls("kraken_service.urls"),
]

BOTS = 200
WORKERS = 4


def test_stop_all_of_200_running_bots() -> None:
    fleet = Fleet(bots=BOTS)
    # An exchange as far away as Kraken: an order is always on its way.
    fleet.exchange.on("submit", before=lambda _: time.sleep(0.05))
    with fleet.ticking(workers=WORKERS):
        eventually(lambda: len(fleet.marked()) >= BOTS // 2, seconds=300)
        began = time.monotonic()
        response = TraderClient(fleet.user_id).post("/api/v1/bot/stop-all")
        answered = time.monotonic() - began
        marked, rounds = fleet.marked(), fleet.rounds
        eventually(lambda: fleet.rounds >= rounds + 2, seconds=300)
    later = fleet.marked() - marked

    assert response.status_code == 202
    assert len(response.json()["results"]) == BOTS
    assert later == set()
    sizes = f"{BOTS} running bots, {WORKERS} workers"
    record_figure("answer to stop-all", answered * 1000, "ms", better="lower", note=sizes)
    record_figure("entries sent after the answer", len(later), "", better="lower", goal=0, note=sizes)
    print(
        f"\nstop-all of {BOTS} running bots with {WORKERS} workers at them: answered in {answered * 1000:,.0f} ms; "
        f"{len(marked)} entries sent before the answer, {len(later)} after it (goal 0)"
    )
