"""What relay and dispatcher hold while much passes through them: memory, threads, open files.

Nothing is asserted about memory: the allocator decides when to give it back. That threads and files stay few is.
"""

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from tests.bench.figures import record_figure
from tests.bench.test_dispatcher import order
from tests.support.kafka import fill_outbox, outbox_count
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

SERVINGS = 10
EVENTS_A_SERVING = 20_000
COMMANDS_A_SERVING = 5_000
MOST_SPARE = 4


def test_the_relay_stays_as_large_as_it_is(topic: str, tmp_path: Path) -> None:
    keys = [uuid4() for _ in range(500)]
    watch(
        "run_relay",
        tmp_path,
        serve=lambda: fill_outbox(topic, keys, EVENTS_A_SERVING),
        is_served=lambda: outbox_count(topic) == 0,
        messages=EVENTS_A_SERVING,
    )


def test_the_dispatcher_stays_as_large_as_it_is(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    bots = [uuid4() for _ in range(500)]

    def serve() -> None:
        rabbitmq.purge()
        order(bots, COMMANDS_A_SERVING)

    watch(
        "run_dispatcher",
        tmp_path,
        serve=serve,
        is_served=lambda: not rabbitmq_rows().exists(),
        messages=COMMANDS_A_SERVING,
    )


def watch(
    command: str, folder: Path, *, serve: Callable[[], None], is_served: Callable[[], bool], messages: int
) -> None:
    """One process, fed again and again, and what it holds after each time."""
    processes = Processes(folder)
    print()
    try:
        process = psutil.Process(processes.manage(command, until="leases_taken").pid)
        looks = []
        for number in range(1, SERVINGS + 1):
            serve()
            deadline = time.monotonic() + 120
            while not is_served():
                assert time.monotonic() < deadline, f"{command} does not get through"
                time.sleep(0.1)
            looks.append((process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()))
            memory, threads, files = looks[-1]
            print(f"{command} after {number * messages:>8,}: {memory:4.0f} MiB, {threads} threads, {files} files")
    finally:
        processes.kill_all()
    record_figure(
        f"memory of {command}", [look[0] for look in looks], "MiB", better="lower", note=f"after each {messages:,}"
    )
    (_, threads_first, files_first), (_, threads_last, files_last) = looks[0], looks[-1]
    assert threads_last <= threads_first + MOST_SPARE
    assert files_last <= files_first + MOST_SPARE
