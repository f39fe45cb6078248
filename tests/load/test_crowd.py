"""Many traders use the platform at once, through the gateway, as one would find it: `make load`.

LOAD_USERS, LOAD_SECONDS and LOAD_EVERY (seconds between two questions of a trader) choose another size. The load
generator shares the processors with the platform. Late is measured and printed, not asserted; that nothing is cut off
or answered with an error is.
"""

import asyncio
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
import pytest

from tests.bench.figures import record_figure
from tests.load.crowd import MIX, Results, enter_all, live_all
from tests.support.environment import OUTSIDE, read_exports

pytestmark = [pytest.mark.load, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
PROFILE, OFFSET = "load", 9000
USERS = int(os.environ.get("LOAD_USERS", "1000"))
SECONDS = float(os.environ.get("LOAD_SECONDS", "300"))
EVERY = float(os.environ.get("LOAD_EVERY", "2"))
SAMPLE_EVERY = 20.0
GOAL_MS = 200


@dataclass(frozen=True)
class Platform:
    url: str
    environment: dict[str, str]

    def processes(self) -> list[psutil.Process]:
        """The web processes of the profile."""
        folder, found = self.environment["MUCKARD_SECRETS_DIR"], []
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("MUCKARD_SECRETS_DIR", "").startswith(folder)
                if is_ours and any(part.endswith("gunicorn") for part in process.cmdline()[:3]):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform of its own that believes the load generator what address each trader has."""
    outside = {name: value for name, value in OUTSIDE.items() if not name.startswith("MUCKARD_")}
    workers = os.environ.get("LOAD_WEB_WORKERS", "1")
    starters = outside | {"MUCKARD_TRUSTED_PROXIES": "127.0.0.1", "MUCKARD_WEB_WORKERS": workers}
    stack = [sys.executable, "dev/stack.py"]
    where = ["--profile", PROFILE, "--port-offset", str(OFFSET)]
    run = [*stack, "run", *where, "--detach", "--no-smoke-test"]
    subprocess.run(run, cwd=ROOT, env=starters, check=True, timeout=300)
    try:
        told = subprocess.run(
            [*stack, "env", *where], cwd=ROOT, env=outside, check=True, capture_output=True, text=True
        ).stdout
        environment = {**outside, **read_exports(told), "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
        environment |= {"MUCKARD_ENVIRONMENT": "development"}
        people = [sys.executable, "-m", "tests.load.people", str(USERS)]
        subprocess.run(people, cwd=ROOT, env=environment, check=True, timeout=300)
        yield Platform(environment["MUCKARD_PUBLIC_URL"], environment)
    finally:
        subprocess.run([*stack, "stop", *where], cwd=ROOT, env=outside, check=False, timeout=120)


def test_a_crowd_of_traders(platform: Platform) -> None:
    asyncio.run(_load(platform))


async def _load(platform: Platform) -> None:
    traders = await enter_all(platform.url, USERS)
    print(f"\n{USERS} traders have logged in; each asks every {EVERY:g} s for {SECONDS:g} s")
    watching = asyncio.create_task(_watch(platform))
    try:
        results = await live_all(traders, every=EVERY, seconds=SECONDS)
    finally:
        watching.cancel()
        await asyncio.gather(*(trader.leave() for trader in traders))
    _report(results)
    unexpected = {answer: times for answer, times in results.answers.items() if answer not in ("200", "429")}
    assert unexpected == {}


async def _watch(platform: Platform) -> None:
    while True:
        _sample(platform)
        await asyncio.sleep(SAMPLE_EVERY)


def _sample(platform: Platform) -> None:
    memory: Counter[str] = Counter()
    threads = files = 0
    for process in platform.processes():
        try:
            memory["services"] += process.memory_info().rss >> 20
            threads += process.num_threads()
            files += process.num_fds()
        except psutil.Error:
            continue
    with psycopg2.connect(platform.environment["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'muckard-%%'")
        [(connections,)] = cursor.fetchall()
    print(
        f"  services {memory['services']} MiB, {threads} threads, {files} files; "
        f"{connections} connections to PostgreSQL",
        flush=True,
    )


def _report(results: Results) -> None:
    total = sum(results.answers.values())
    p50, p95, p99 = (results.percentile(share) * 1000 for share in (0.5, 0.95, 0.99))
    print(f"  {total} questions: {dict(results.answers)}")
    verdict = "met" if p95 <= GOAL_MS else "MISSED"
    sizes = f"{USERS:,} traders, each every {EVERY:g} s for {SECONDS:g} s, through the gateway"
    record_figure("an answer, p50", p50, "ms", better="lower", note=sizes)
    record_figure("an answer, p95", p95, "ms", better="lower", goal=GOAL_MS, note=sizes)
    record_figure("an answer, p99", p99, "ms", better="lower", note=sizes)
    record_figure("answers", total / SECONDS, "/s", better="higher", note=sizes)
    print(f"  p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms; goal p95 {GOAL_MS} ms: {verdict}")
    for kind in MIX:
        if seconds := sorted(results.seconds[kind]):
            median, worst = statistics.median(seconds) * 1000, seconds[int(0.95 * (len(seconds) - 1))] * 1000
            print(f"    {kind:<8} {len(seconds):>7}  p50 {median:6.0f} ms  p95 {worst:6.0f} ms")
