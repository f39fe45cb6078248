"""What the event store costs: publishing inside a request, the hash chain's share of a commit, verifying it all.

Each figure stands beside a yardstick of the same run. Nothing is asserted about time: the machine is shared.
"""

import hashlib
import os
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.chains import ChainVerifier
from apps.audit.verification import ALL_EVENTS
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from dev.servers import postgres
from tests.bench.figures import record_figure

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

EVENTS = 200_000
AGGREGATES = 500
CLIENTS = 8
ROUNDS = 7
SECONDS = 5

PAYLOAD = b'{"text":"' + b"x" * 385 + b'"}'

FILL = """
    SELECT count(events.{function}(gen_random_uuid(), 'user.updated', 1, 'user',
        ('00000000-0000-7000-8000-' || lpad(floor(random() * %s)::text, 12, '0'))::uuid, now(), NULL,
        gen_random_uuid(), NULL,
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', %s, 'kafka', 'user.events', 1))
    FROM generate_series(1, %s) n
"""


@pytest.fixture
def unchained() -> Iterator[str]:
    """A twin of events.append_event that stores a constant instead of the chained hash."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('events.append_event'::regproc)")
        source = cursor.fetchone()[0]
        twin = source.replace("append_event", "append_event_unchained")
        constant = "v_hash := '\\x" + "00" * 32 + "'::bytea;"
        twin, replaced = re.subn(r"v_hash := sha256\(.*?p_payload\);", lambda _: constant, twin, flags=re.S)
        assert replaced == 1
        cursor.execute(twin)
    yield "append_event_unchained"
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION events.append_event_unchained")


def test_publishing_inside_a_request() -> None:
    samples = []
    for _ in range(500):
        with transaction.atomic():
            began = time.perf_counter()
            publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
            samples.append((time.perf_counter() - began) * 1000)
    median, p95 = statistics.median(samples), statistics.quantiles(samples, n=100)[94]
    record_figure("publish() inside a transaction, median", median, "ms", better="lower", goal=2)
    record_figure("publish() inside a transaction, p95", p95, "ms", better="lower")
    print(f"\npublish() inside a transaction: median {median:.2f} ms, p95 {p95:.2f} ms (goal 2 ms)")


def test_the_hash_chain_s_share_of_a_commit(unchained: str, tmp_path: Path) -> None:
    """Clients of pgbench, which costs little itself, commit one event each; with and without in turn."""
    ratios = []
    print()
    for number in range(ROUNDS):
        functions = ["append_event", unchained]
        rates = {each: _commits_per_second(each, tmp_path) for each in (functions if number % 2 else functions[::-1])}
        chained, plain = rates["append_event"], rates[unchained]
        ratios.append(1 - chained / plain)
        print(f"commits/s with chain {chained:,.0f}, without {plain:,.0f}: the chain costs {ratios[-1]:.1%}")
    record_figure("the hash chain's share of a commit", [100 * each for each in ratios], "%", better="lower", goal=20)
    print(f"median cost of the chain over {ROUNDS} rounds: {statistics.median(ratios):.1%} (goal 20 %)")


def test_verifying_the_event_store() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FILL.format(function="append_event"), [AGGREGATES, PAYLOAD, EVENTS])
    rates, yardsticks = [], []
    for _ in range(ROUNDS):
        lines = _Lines()
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.cursor.copy_expert(ALL_EVENTS, lines)
        reading = time.perf_counter() - began

        verifier = ChainVerifier()
        cpu = time.process_time()
        for line in lines.kept:
            verifier.write(line)
        rates.append(EVENTS / (time.process_time() - cpu))
        assert verifier.divergences == []
        assert verifier.events == EVENTS

        cpu = time.process_time()
        for line in lines.kept:
            hashlib.sha256(line).digest()
        yardsticks.append(EVENTS / (time.process_time() - cpu))
        print(f"\nverified {rates[-1]:,.0f} events/s of one core; reading them from PostgreSQL took {reading:.1f} s")
    rate = statistics.median(rates)
    record_figure("events verified by one core", rates, "events/s", better="higher", goal=200_000)
    shares = [one / other for one, other in zip(rates, yardsticks, strict=True)]
    record_figure("verifying, of bare SHA-256's speed", shares, "", better="higher")
    print(f"median: {rate:,.0f} events/s (goal 200 000), {rate / statistics.median(yardsticks):.2f} of bare SHA-256")


class _Lines:
    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def write(self, line: bytes) -> int:
        self.kept.append(line)
        return len(line)


def _commits_per_second(function: str, folder: Path) -> float:
    settings = connection.settings_dict
    payload = PAYLOAD.hex()
    aggregate = "('00000000-0000-7000-8000-' || lpad(:n::text, 12, '0'))::uuid"
    script = folder / f"{function}.sql"
    script.write_text(
        f"\\set n random(1, {AGGREGATES})\n"
        f"SELECT events.{function}(gen_random_uuid(), 'user.updated', 1, 'user', {aggregate}, now(), NULL, "
        "gen_random_uuid(), NULL, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', "
        f"'\\x{payload}'::bytea, 'kafka', 'user.events', 1);\n"
    )
    programs = postgres.programs()
    assert programs is not None
    command = [
        str(programs / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--time={SECONDS}",
        f"--file={script}", f"--host={settings['HOST']}", f"--port={settings['PORT']}",
        f"--username={settings['USER']}", settings["NAME"],
    ]  # fmt: skip
    given = {**os.environ, "PGPASSWORD": settings["PASSWORD"]}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    assert rate is not None, done.stdout
    return float(rate.group(1))
