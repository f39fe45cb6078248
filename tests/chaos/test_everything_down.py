"""Kafka frozen, RabbitMQ refusing and Redis silent, all at once, with every process just started."""

import time

import pytest

from tests.chaos.rounds import RECOVERY_SECONDS, fresh_keys
from tests.chaos.stack import Stack
from tests.chaos.test_outages import assert_all_arrives, assert_served, order
from tests.chaos.visitor import Visitor
from tests.support.waiting import comes_true

OUTAGE_SECONDS = 3.0
STORED = "SELECT count(*) FROM events.outbox WHERE event_id = %s AND transport = 'rabbitmq'"

pytestmark = pytest.mark.timeout(300)


def test_requests_are_answered_and_everything_arrives_when_the_brokers_return(stack: Stack, visitor: Visitor) -> None:
    stack.wait_until_idle(60)
    keys, marks = fresh_keys(), stack.evidence.marks()
    before = stack.fleet.pids()
    with visitor.visiting() as visit:
        stack.servers.freeze("kafka")
        stack.servers.links["rabbitmq"].refuse()
        stack.servers.links["redis"].silence()
        try:
            stack.fleet.restart_all()
            stack.write(order(keys))
            command_id = visitor.order_start()
            time.sleep(OUTAGE_SECONDS)
            assert not before.items() & stack.fleet.pids().items()
            before = stack.fleet.pids()
            assert stack.evidence.query(STORED, [command_id]) == [(1,)]
        finally:
            stack.servers.heal()

        journal = stack.journal(60)
        assert journal.unknown == {}
        assert_all_arrives(stack, keys, journal, marks)
        assert comes_true(lambda: stack.evidence.query(STORED, [command_id]) == [(0,)], seconds=RECOVERY_SECONDS)
    assert_served(visit, without_database=False)
    assert stack.fleet.pids() == before
    assert stack.fleet.unexpected_ends == []
