"""How fast commands reach RabbitMQ, confirmed: the dispatcher beside Kombu and Celery doing the same in the same run,
then how fast workers run them and how soon after the commit.

Nothing is asserted about time: the machine is shared. That everything arrived is.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from celery import Celery
from django.db import connection, transaction
from kombu import Connection, Exchange, Producer

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.models import CommandExecution
from apps.events.outbox.dispatcher import query
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.outbox.rows import FetchSpec
from apps.events.process.worker_command import frozen_startup_objects
from apps.events.store.publish import dispatch
from apps.messages.bots import StopBot
from tests.bench.figures import record_figure
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

COMMANDS = 10_000
ONE_BY_ONE = 2_000
ROUNDS = 3
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(bots: list[UUID], count: int) -> None:
    with transaction.atomic():
        for number in range(count):
            command = StopBot(
                command_id=uuid4(),
                bot_id=bots[number % len(bots)],
                user_id=uuid4(),
                requested_at=NOW,
                expires_at=NOW + timedelta(days=3650),
            )
            dispatch(command, now=NOW)


@pytest.fixture(autouse=True)
def _own_queue(rabbitmq: RabbitMQ) -> Iterator[None]:
    yield
    rabbitmq.purge()


def rate_of(count: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def test_dispatcher_beside_kombu_and_celery(rabbitmq: RabbitMQ) -> None:
    figures: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        order([uuid4() for _ in range(1000)], COMMANDS)
        batch = query.next_rows(FetchSpec(frozenset((slot, 1) for slot in range(64)), limit=ONE_BY_ONE))
        payloads = [orjson.loads(row.envelope.payload) for row in batch if row.envelope]
        yardsticks: dict[str, Callable[[], None]] = {
            "kombu, unconfirmed": partial(kombu, rabbitmq.url, payloads, confirm=False),
            "kombu, each confirmed": partial(kombu, rabbitmq.url, payloads, confirm=True),
            "Celery, each confirmed, 1 thread": partial(celery, rabbitmq.url, payloads, threads=1),
            "Celery, each confirmed, 8 threads": partial(celery, rabbitmq.url, payloads, threads=8),
        }
        for name, work in yardsticks.items():
            rabbitmq.purge()
            figures.setdefault(name, []).append(rate_of(len(payloads), work))
        rabbitmq.purge()
        figures.setdefault("dispatcher, from the outbox, confirmed and deleted", []).append(
            rate_of(COMMANDS, drain_outbox)
        )
        assert rabbitmq.count("bot.stop") == COMMANDS
    print()
    for name, rates in figures.items():
        record_figure(name, rates, "commands/s", better="higher", goal=2_500 if name.startswith("dispatcher") else None)
        print(f"{name:<52} {statistics.median(rates):>8,.0f} commands/s")
    print("goal of the dispatcher: 2,500")


def test_one_bot_alone(rabbitmq: RabbitMQ) -> None:
    """Commands of one bot go one after the other, each confirmed before the next: the price of their order."""
    order([uuid4()], ONE_BY_ONE)
    rate = rate_of(ONE_BY_ONE, drain_outbox)
    record_figure("all commands of one bot", rate, "commands/s", better="higher")
    print(f"\nall commands of one bot: {rate:,.0f} commands/s")
    assert rabbitmq.count("bot.stop") == ONE_BY_ONE


def test_workers_run_what_was_dispatched(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    order([uuid4() for _ in range(500)], ONE_BY_ONE)
    drain_outbox()
    processes = Processes(tmp_path)
    try:
        done = CommandExecution.objects.filter(state="done")
        processes.worker("bot.stop", children=2)
        # From the first hundred on: the start is not the rate.
        eventually(lambda: done.count() >= 100, seconds=60)
        began, before = time.perf_counter(), done.count()
        eventually(lambda: done.count() == ONE_BY_ONE, seconds=300)
        rate = (ONE_BY_ONE - before) / (time.perf_counter() - began)
    finally:
        processes.kill_all()
    record_figure(
        "commands claimed, run and marked done", rate, "commands/s", better="higher", note="a worker with two children"
    )
    print(f"\na worker with two children: {rate:,.0f} commands/s, each claimed, run and marked done in PostgreSQL")


def test_from_commit_to_the_start_of_the_run(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    committed: dict[str, float] = {}
    stop = threading.Event()
    dispatcher = Dispatcher()

    def work() -> None:
        while not stop.is_set():
            dispatcher.step()
        connection.close()

    thread = threading.Thread(target=work)
    try:
        processes.worker("bot.stop", children=2)
        thread.start()
        time.sleep(1)
        for _ in range(200):
            command = StopBot(
                command_id=uuid4(),
                bot_id=uuid4(),
                user_id=uuid4(),
                requested_at=NOW,
                expires_at=NOW + timedelta(days=3650),
            )
            with transaction.atomic():
                dispatch(command, now=NOW)
            committed[str(command.command_id)] = time.time()
            time.sleep(0.05)
        eventually(lambda: len(processes.diary(what="start")) == 200, seconds=60)
    finally:
        stop.set()
        thread.join()
        dispatcher.close()
        processes.kill_all()
    waits = sorted((line["at"] - committed[line["id"]]) * 1000 for line in processes.diary(what="start"))
    at = "20 commands/s"
    record_figure("from commit to the run's first line, p50", statistics.median(waits), "ms", better="lower", note=at)
    record_figure(
        "from commit to the run's first line, p99", waits[int(len(waits) * 0.99)], "ms", better="lower", note=at
    )
    print(
        f"\nfrom commit to the run's first line, 20 commands/s: p50 {statistics.median(waits):.0f} ms, "
        f"p99 {waits[int(len(waits) * 0.99)]:.0f} ms"
    )


def drain_outbox() -> None:
    dispatcher = Dispatcher()
    try:
        with frozen_startup_objects():
            while rabbitmq_rows().exists():
                dispatcher.step()
    finally:
        dispatcher.close()


def kombu(url: str, payloads: list[Any], *, confirm: bool) -> None:
    with Connection(url, transport_options={"confirm_publish": confirm}) as opened:
        exchange = Exchange(topology.COMMANDS, type="direct", no_declare=True)
        producer = Producer(opened.channel(), exchange=exchange, auto_declare=False)
        for payload in payloads:
            producer.publish(
                [[], payload, {}], routing_key="bot.stop", serializer="json", delivery_mode=2, mandatory=True
            )


def celery(url: str, payloads: list[Any], *, threads: int) -> None:
    app = Celery("yardstick", broker=url, set_as_current=False)
    app.conf.update(broker_transport_options={"confirm_publish": True}, broker_pool_limit=threads)

    def send(payload: Any) -> None:
        app.send_task(
            "bot.stop",
            kwargs=payload,
            task_id=payload["command_id"],
            exchange=topology.COMMANDS,
            exchange_type="direct",
            routing_key="bot.stop",
            mandatory=True,
            ignore_result=True,
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(send, payloads))
    app.close()
