"""Kafka frozen, RabbitMQ refusing and Redis silent, all at once, with every process just started."""

import time
from pathlib import Path
from uuid import uuid4

import pytest

from apps.ops.walk.steps import BOT
from tests.chaos.fleet import wait_until
from tests.chaos.rounds import RECOVERY_SECONDS, fresh_keys
from tests.chaos.services import PASSWORD, services
from tests.chaos.stack import Stack
from tests.chaos.test_outages import assert_all_arrives, order

OUTAGE_SECONDS = 3.0
# A request never waits for a broker; this leaves room for a busy machine.
ANSWER_SECONDS = 2.0

pytestmark = pytest.mark.timeout(300)


def test_requests_are_answered_and_everything_arrives_when_the_brokers_return(stack: Stack, tmp_path: Path) -> None:
    stack.wait_until_idle(60)
    keys, marks = fresh_keys(), stack.evidence.marks()
    with services(stack, tmp_path) as clients:
        account = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        clients["user"].post("/api/v1/auth/register", account)
        kraken = clients["kraken"]
        kraken.token = clients["user"].post("/api/v1/auth/login", account)["access"]
        key = kraken.post("/api/v1/kraken/connect", {"label": "chaos", "mode": "paper"})
        bot = kraken.post("/api/v1/bot", {**BOT, "credential_id": key["id"]})
        before = stack.fleet.pids()

        stack.servers.freeze("kafka")
        stack.servers.links["rabbitmq"].refuse()
        stack.servers.links["redis"].silence()
        try:
            stack.fleet.restart_all()
            stack.write(order(keys))
            began = time.monotonic()
            command = kraken.post(f"/api/v1/bot/{bot['id']}/start", accept=(202,))
            assert kraken.get(f"/api/v1/bot/{bot['id']}")["id"] == bot["id"]
            assert clients["user"].get("/health/live")
            assert time.monotonic() - began < 3 * ANSWER_SECONDS
            time.sleep(OUTAGE_SECONDS)
            assert not before.items() & stack.fleet.pids().items()
            before = stack.fleet.pids()
            stored = "SELECT count(*) FROM events.outbox WHERE event_id = %s AND transport = 'rabbitmq'"
            assert stack.evidence.query(stored, [command["id"]]) == [(1,)]
        finally:
            stack.servers.heal()

        journal = stack.journal(60)
        assert journal.unknown == {}
        assert_all_arrives(stack, keys, journal, marks)
        assert wait_until(lambda: stack.evidence.query(stored, [command["id"]]) == [(0,)], RECOVERY_SECONDS)
        assert stack.fleet.pids() == before
        assert stack.fleet.unexpected_ends == []
