"""Backlogs far above what any process takes at once, written while those who should take them stand still."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import amqp
from kombu import Connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.messages.base import Priority
from tests.chaos.stack import Stack
from tests.chaos.writer import Order, Share
from tests.support.waiting import comes_true

# A consumer takes 500 records with one poll, a relay or dispatcher BATCH_ROWS rows, a router 50 messages. Each of these
# is many times that; the first is of one key, and so in one partition.
ONE_ACCOUNT = 2_200
EACH_ACCOUNT = 350
EACH_BOT = 360
EACH_BOT_COMMANDS = 40
FAILURES = 2_000
# Of what the ones that stand still do not read.
FEW = 10

WRITE_SECONDS = 90.0
DRAIN_SECONDS = 120.0
# How the ones that stand still do so.
MANNERS = ("stopped", "frozen", "killed again and again")
SECONDS_BETWEEN_KILLS = 1.5

STANDING_STILL: dict[str, tuple[str, ...]] = {
    "consumer": ("consumer",),
    "status": ("status",),
    "relay": ("relay-1", "relay-2"),
    "dispatcher": ("dispatcher",),
    "router": ("router",),
    "worker": ("worker",),
    "all": ("consumer", "status", "relay-1", "relay-2", "dispatcher", "router", "worker"),
}


@dataclass(frozen=True)
class Backlog:
    """Who stands still while it is written, and how."""

    whose: str
    manner: str

    def __str__(self) -> str:
        return f"backlog of {self.whose}, {self.manner}"


def draw_backlog(seed: int) -> Backlog:
    dice = random.Random(f"{seed}/backlog")
    return Backlog(dice.choice(tuple(STANDING_STILL)), dice.choice(MANNERS))


def burst(seed: int, keys: tuple[str, ...], backlog: Backlog) -> Order:
    """Several thousand of what is read by those who stand still, and some of everything else."""
    accounts = [key for key in keys if int(key.replace("-", ""), 16) & 1]
    bots = [key for key in keys if key not in accounts]
    has_trades, has_statuses, has_commands = (
        backlog.whose in {*whose, "all"} for whose in (("consumer", "relay"), ("status", "dispatcher"), ("worker",))
    )
    shares = [Share(accounts[0], "trade", ONE_ACCOUNT if has_trades else FEW)]
    shares += [Share(key, "trade", EACH_ACCOUNT if has_trades else FEW) for key in accounts[1:]]
    shares += [
        Share(key, kind, EACH_BOT // 2 if has_statuses else FEW) for key in bots for kind in ("started", "error")
    ]
    shares += [Share(key, "stop", EACH_BOT_COMMANDS if has_commands else FEW) for key in bots]
    return Order(seed=seed, seconds=0.0, keys=keys, burst=tuple(shares))


@contextmanager
def standing_still(stack: Stack, backlog: Backlog) -> Iterator[None]:
    """While the block runs these processes get nothing done."""
    names = STANDING_STILL[backlog.whose]
    if backlog.manner == "killed again and again":
        with stack.fleet.killing(names, every_seconds=SECONDS_BETWEEN_KILLS):
            yield
        return
    hold: Callable[[str], Callable[[], None]] = stack.fleet.hold if backlog.manner == "stopped" else stack.fleet.freeze
    releases = [hold(name) for name in names]
    try:
        yield
    finally:
        for release in releases:
            release()


class Failures:
    """Messages that no handler of ours sent back, of a queue of ours: a router puts them all with the dead letters."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.servers.direct_url("rabbitmq")
        self._ids: set[str] = set()
        self._dead = topology.dead_letter_queue("bot.stop")

    def send(self) -> None:
        """Returns once RabbitMQ has them all."""
        with Connection(self._url, transport_options={"confirm_publish": True}) as connection:
            channel: Any = connection.channel()
            for number in range(FAILURES):
                message_id = str(uuid4())
                self._ids.add(message_id)
                message = amqp.Message(b"not a message of ours", message_id=message_id, delivery_mode=2)
                exchange = topology.failures_name(Priority.NORMAL if number % 2 else Priority.HIGH)
                channel.basic_publish(message, exchange=exchange, routing_key="bot.stop")

    def lost(self) -> set[str]:
        """Those that did not arrive; takes the others away."""
        missing = set(self._ids)
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            while (message := channel.basic_get(self._dead, no_ack=True)) is not None:
                missing.discard(message.properties.get("message_id", ""))
        return missing

    def are_settled(self) -> bool:
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            return bool(channel.queue_declare(self._dead, passive=True).message_count >= len(self._ids))


def fill(stack: Stack, seed: int, keys: tuple[str, ...], backlog: Backlog) -> Failures:
    """Writes the burst; returns with its journal to come, once the messages lie before those who stand still."""
    failures = Failures(stack)
    stack.write(burst(seed, keys, backlog))
    if backlog.whose in {"router", "all"}:
        failures.send()
    assert comes_true(stack.has_journal, seconds=WRITE_SECONDS), "the burst is not written in time"
    if backlog.whose in {"consumer", "status"}:
        # Then it lies in the brokers, and not in the outbox.
        assert comes_true(lambda: stack.evidence.outbox_rows() == 0, seconds=WRITE_SECONDS), (
            "the outbox is not empty in time"
        )
    else:
        time.sleep(1.0)
    return failures
