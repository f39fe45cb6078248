"""A server refuses, is silent, frozen, slow or restarted, or takes nothing more: at start, idle and mid-batch.

In every case HTTP keeps answering, what is committed meanwhile arrives within half a minute of the server's return,
once and in order, and no process needed to be started again.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.evidence import Marks
from tests.chaos.rounds import RECOVERY_SECONDS, fresh_keys
from tests.chaos.stack import BATCH_ROWS, Stack
from tests.chaos.visitor import ANSWER_SECONDS, PATIENCE_SECONDS, Visit, Visitor
from tests.chaos.writer import Journal, Order
from tests.support.waiting import comes_true

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WRITE_SECONDS = 2.0
# Longer than the clients' own patience: confirms (5 s), heartbeats and requests (10 s).
OUTAGE_SECONDS = 14.0
SLOW_BYTES_PER_SECOND = 1024

MOMENTS = ("start", "idle", "mid-batch")
MATRIX = [
    (server, manner, moment)
    for server, manners in {
        "kafka": ("refuses", "is silent", "is frozen", "is slow", "is restarted"),
        "rabbitmq": ("refuses", "is silent", "is frozen", "is slow", "is restarted", "has its disk full"),
        "postgres": ("refuses", "is silent", "is restarted"),
        "redis": ("refuses", "is silent", "is frozen", "is restarted"),
    }.items()
    for manner in manners
    for moment in MOMENTS
]


@contextmanager
def broken(stack: Stack, server: str, manner: str) -> Iterator[None]:
    servers = stack.servers
    link = servers.links[server]
    begin: dict[str, Callable[[], None]] = {
        "refuses": link.refuse,
        "is silent": link.silence,
        "is frozen": lambda: servers.freeze(server),
        "is slow": lambda: link.slow(SLOW_BYTES_PER_SECOND),
        "is restarted": lambda: servers.stop(server),
        "has its disk full": lambda: servers.rabbitmqctl("set_disk_free_limit", "900000GB"),
    }
    begin[manner]()
    try:
        yield
    finally:
        if manner == "has its disk full":
            servers.rabbitmqctl("set_disk_free_limit", "50MB")
        servers.heal()


@pytest.mark.parametrize(("server", "manner", "moment"), MATRIX)
def test_an_outage(stack: Stack, visitor: Visitor, server: str, manner: str, moment: str) -> None:
    with visitor.visiting() as visit:
        go_through(stack, server, manner, moment, OUTAGE_SECONDS)
    assert_served(visit, without_database=server == "postgres")


@pytest.mark.parametrize("moment", ["start", "idle"])
@pytest.mark.parametrize("manner", ["refuses", "is silent", "is frozen"])
def test_without_redis_everything_arrives_all_the_same(stack: Stack, manner: str, moment: str) -> None:
    stack.wait_until_idle(60)
    keys = fresh_keys()
    with broken(stack, "redis", manner):
        if moment == "start":
            stack.fleet.restart_all()
        stack.write(order(keys))
        journal = stack.journal(30)
        assert comes_true(lambda: stack.evidence.is_caught_up(keys), seconds=RECOVERY_SECONDS), stack.evidence.waiting(
            keys
        )

    assert journal.unknown == {}


def go_through(stack: Stack, server: str, manner: str, moment: str, seconds: float) -> None:
    stack.wait_until_idle(60)
    keys, marks = fresh_keys(), stack.evidence.marks()
    is_database = server == "postgres"
    if moment == "mid-batch":
        stack.write(order(keys))
        time.sleep(WRITE_SECONDS / 4)
    before = stack.fleet.pids()
    with broken(stack, server, manner):
        if moment == "start":
            stack.fleet.restart_all()
            assert comes_true(lambda: not before.items() & stack.fleet.pids().items(), seconds=10)
            before = stack.fleet.pids()
        if moment != "mid-batch" and not is_database:
            stack.write(order(keys))
        time.sleep(seconds)
    healed = time.monotonic()
    if moment != "mid-batch" and is_database:
        stack.write(order(keys))
    journal = stack.journal(60)

    assert journal.committed
    if not is_database:
        assert journal.unknown == {}, "a broker's outage must not be felt by who writes"
    assert_all_arrives(stack, keys, journal, marks)
    print(f"  {server} {manner}, {moment}: caught up {time.monotonic() - healed:.1f} s after its return", flush=True)
    assert stack.fleet.pids() == before
    assert stack.fleet.unexpected_ends == []


def assert_all_arrives(stack: Stack, keys: tuple[str, ...], journal: Journal, marks: Marks) -> None:
    arrived = comes_true(lambda: stack.evidence.is_caught_up(keys), seconds=RECOVERY_SECONDS)
    assert arrived, f"{stack.evidence.waiting(keys)}\n{stack.fleet.logs()}"
    findings = stack.evidence.judge(keys, journal, marks)
    assert findings.problems == []
    assert findings.duplicates <= BATCH_ROWS


def assert_served(visit: Visit, *, without_database: bool) -> None:
    print(f"  HTTP: {len(visit.answers)} answers, the slowest after {visit.slowest:.2f} s", flush=True)
    if without_database:
        # The process lives and says what is missing; nobody is left waiting, nothing is an error of ours.
        lives = [each for each in visit.answers if each.request == "GET /health/live"]
        assert {each.status for each in lives} == {200}
        assert max(each.seconds for each in lives) < ANSWER_SECONDS
        assert {each.status for each in visit.answers} <= {200, 503}
        assert visit.slowest < PATIENCE_SECONDS
    else:
        assert visit.not_served == []
        assert visit.slowest < ANSWER_SECONDS


def order(keys: tuple[str, ...]) -> Order:
    return Order(seed=random.SystemRandom().randrange(10**9), seconds=WRITE_SECONDS, keys=keys)
