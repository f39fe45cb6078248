"""Open streams of a thousand users at one stream process: its memory, its processor time while nothing happens, and how
long an event takes to its client at a hundred a second. The clients share the processors with it. Nothing is asserted
about time or memory; that every event comes once is.
"""

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from django.db import connection, transaction
from pytest_django import Settings

from apps.core.process_table import PROCESSES
from apps.events.store.wake_up import STREAM, wake_after_commit
from tests.bench.figures import record_figure
from tests.factories.accounts import sign_tokens
from tests.integration.bots.stream.conftest import alert, token_of
from tests.support.event_stream import PATH
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900), pytest.mark.django_db(transaction=True)]

STREAMS = int(os.environ.get("BENCH_STREAMS", "1000"))
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "30"))
EVENTS_A_SECOND, SECONDS = 100, 20
MIB = 2**20


@dataclass
class Crowd:
    """The clients, on an event loop in a thread. `delays` are seconds from a change to its event at the client."""

    port: int
    tokens: list[str]
    open: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    _loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True).start()

    async def _all(self) -> None:
        self._loop = asyncio.get_running_loop()
        # So many at once as a machine with a few cores connects
        entrance = asyncio.Semaphore(16)
        await asyncio.gather(*(self._one(token, entrance) for token in self.tokens), return_exceptions=True)

    async def _one(self, token: str, entrance: asyncio.Semaphore) -> None:
        async with entrance:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            status = (await reader.readline()).decode().split(" ")[1]
            if status != "200":
                self.failed[status] += 1
                return
            while b"event: ready" not in await reader.readline():
                pass
            self.open += 1
        while line := await reader.readline():
            if line.startswith(b"data: ") and b'"message":"at ' in line:
                text = line.decode().split('"message":"at ')[1].split('"')[0]
                self.told[text] += 1
                self.delays.append(time.time() - float(text.split(" ")[0]))
        self.open -= 1


@pytest.fixture
def stream_process(tmp_path: Path) -> Iterator[tuple[int, psutil.Process]]:
    processes, port = Processes(tmp_path), free_port()
    program, *arguments = PROCESSES["stream"].command(address="127.0.0.1", port=port, witness="")
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    started = processes.start(
        "stream", command, SERVICE="kraken", MUCKARD_PROCESS="stream", MUCKARD_STREAMS=str(STREAMS * 2)
    )
    try:
        yield port, psutil.Process(started.pid)
    finally:
        processes.kill_all()


def test_a_thousand_open_streams(stream_process: tuple[int, psutil.Process], settings: Settings) -> None:
    sign_tokens(settings)
    port, process = stream_process
    users = [uuid4() for _ in range(STREAMS)]
    crowd = Crowd(port, [token_of(user_id) for user_id in users])
    eventually(lambda: any(each.laddr.port == port for each in process.net_connections()), what="uvicorn", seconds=120)
    alone = process.memory_info().rss / MIB
    crowd.start()
    eventually(lambda: crowd.open + crowd.failed.total() == STREAMS, what="the streams", seconds=300)
    assert not crowd.failed

    memory = process.memory_info().rss / MIB
    idle = _share_of_a_core(process, IDLE_SECONDS)
    print(
        f"\n{STREAMS} streams: {memory:.0f} MiB ({alone:.0f} without any), {idle:.1%} of a core while nothing happens"
    )
    print(f"  {process.num_threads()} threads")
    record_figure("memory of the stream process", memory, "MiB", better="lower", goal=150, note=f"{STREAMS} streams")
    record_figure("processor while idle", idle * 100, "% of a core", better="lower", goal=20, note=f"{STREAMS} streams")

    busy_since, began = sum(process.cpu_times()[:2]), time.monotonic()
    written = _write(users)
    share = (sum(process.cpu_times()[:2]) - busy_since) / (time.monotonic() - began)
    eventually(lambda: len(crowd.delays) >= len(written), what="the events")
    assert crowd.told == Counter(written)
    ordered = sorted(crowd.delays)
    p50, p95 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.95))
    rate = len(written) / SECONDS
    print(f"{rate:.0f} events/s: p50 {p50:.0f} ms, p95 {p95:.0f} ms; {share:.1%} of a core")
    record_figure("event to client, p95", p95, "ms", better="lower", goal=500, note=f"{rate:.0f} events/s")


def _share_of_a_core(process: psutil.Process, seconds: float) -> float:
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    threading.Event().wait(seconds)
    return float((sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began))


def _write(users: list[UUID]) -> list[str]:
    written, began, pause = [], time.monotonic(), threading.Event()
    for number in range(EVENTS_A_SECOND * SECONDS):
        text = f"{time.time():.6f} {number}"
        with transaction.atomic():
            alert(users[number * 7 % len(users)], text=f"at {text}")
            wake_after_commit(STREAM)
        written.append(text)
        pause.wait(max(0.0, began + (number + 1) / EVENTS_A_SECOND - time.monotonic()))
    connection.close()
    return written
