"""A broker that is frozen for longer than any of the client's time limits: when it is back, so is the relay.

kafka-python's own defaults never send again after that. The broker is one of a profile of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from apps.events.brokers.kafka.options import REQUEST_TIMEOUT_MS
from apps.events.models import ProcessHeartbeat
from dev.base.profile import PORTS, Profile, load, variable
from tests.support.kafka import everything_in, fill_outbox, first_seen, outbox_count, sequences_by_key, topic_of_its_own
from tests.support.ports import free_offset
from tests.support.relaying import ROOT, manage
from tests.support.signals import frozen, processes_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

PROFILE = "frozen"
FROZEN_SECONDS = REQUEST_TIMEOUT_MS / 1000 + 3
RESUMED_WITHIN_SECONDS = 30
# Enough that most still wait when the broker freezes.
EVENTS = 8_000


@pytest.fixture
def own_kafka(settings: Any) -> Iterator[Profile]:
    """A Kafka for this test alone, on a profile of its own; the other servers are those of all tests."""
    others = {"KAFKA_BOOTSTRAP_SERVERS", *map(variable, PORTS)}
    environment = {name: value for name, value in os.environ.items() if name not in others}
    profile = load(PROFILE, {}, free_offset(PROFILE))
    _stack("servers", profile, environment)
    address = f"127.0.0.1:{profile.ports['kafka']}"
    before = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    os.environ["KAFKA_BOOTSTRAP_SERVERS"] = address
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kafka_bootstrap_servers": (address,)})
    try:
        yield profile
    finally:
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = before
        _stack("stop", profile, environment)


def test_work_goes_on_when_a_frozen_broker_is_back(own_kafka: Profile) -> None:
    keys = [uuid4() for _ in range(20)]
    with topic_of_its_own() as topic, manage("run_relay", MUCKARD_RELAY_BATCH_ROWS="100") as relay:
        fill_outbox(topic, keys, EVENTS)
        eventually(lambda: outbox_count(topic) < EVENTS - 500)
        cpu_before = _cpu_seconds(relay.pid)
        with frozen(processes_of(own_kafka, "kafka")):
            time.sleep(FROZEN_SECONDS)
            waiting = outbox_count(topic)
            assert waiting > 0
            assert ProcessHeartbeat.objects.get(name="kafka").state == "down"
            assert ProcessHeartbeat.objects.get(name="relay").state == "up"
            # The library's sender would spin.
            assert _cpu_seconds(relay.pid) - cpu_before < FROZEN_SECONDS / 4

        eventually(lambda: outbox_count(topic) < waiting, seconds=RESUMED_WITHIN_SECONDS)
        eventually(lambda: outbox_count(topic) == 0, seconds=120)

        records = everything_in(topic)
    assert len(records) <= EVENTS + 100
    found = sequences_by_key(records)
    assert {key: first_seen(numbers) for key, numbers in found.items()} == {
        str(key): list(range(1, EVENTS // len(keys) + 1)) for key in keys
    }


def _stack(command: str, profile: Profile, environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "dev/stack.py", command, "--profile", PROFILE, "--port-offset", str(profile.offset)],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=120,
    )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
