"""What it takes to export many events and to verify the bundle: time, and the most memory that a process had.

Each step is a process of its own, so that nothing else is in the figures. They stand beside those of a small export.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import connection
from django.utils import timezone

from apps.audit import checkpoints, verify_bundle
from apps.audit.checkpoints import Checkpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import SignedCheckpoint
from tests.bench.figures import record_figure
from tests.bench.test_event_store import FILL, PAYLOAD
from tests.support.workers.processes import ROOT, Processes

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(1_800)]

EVENTS = int(os.environ.get("BENCH_EXPORTED_EVENTS", "1000000"))
AGGREGATES = 20_000
AT_ONCE = 50_000


def test_exporting_and_verifying_many_events(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    environment = Processes(tmp_path).environment() | {
        "SERVICE": "staff",
        "MUCKARD_AUDIT_SIGNING_KEY": secret,
        "MUCKARD_AUDIT_PUBLIC_KEY": public.read_text(),
    }
    manage, bundle = [sys.executable, str(ROOT / "manage.py")], str(tmp_path / "bundle.zip")
    script = [sys.executable, "-I", verify_bundle.__file__, bundle, "--public-key", str(public)]

    print()
    filled = 0
    for events in (1_000, EVENTS):
        _fill(events - filled)
        _checkpoint(key)
        filled = events
        print(f"{events:>9,} events")
        _run("audit_export", events, [*manage, "audit_export", "--output", bundle], environment)
        print(f"          the bundle has {Path(bundle).stat().st_size / 2**20:,.0f} MiB")
        _run("audit_verify --bundle", events, [*manage, "audit_verify", "--bundle", bundle], environment)
        _run("verify_bundle.py", events, script, {})
        _run(
            "replay --jsonl",
            events,
            [*manage, "replay_events", "--source", "store", "--jsonl", "/dev/null"],
            environment,
        )


def _fill(events: int) -> None:
    for start in range(0, events, AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(FILL.format(function="append_event"), [AGGREGATES, PAYLOAD, min(AT_ONCE, events - start)])
            cursor.execute("DELETE FROM events.outbox")


def _checkpoint(key: Ed25519PrivateKey) -> None:
    """Puts all events under one checkpoint; the checkpointer takes 5 000 at a time."""
    tree = MerkleTree()

    class Leaves:
        def write(self, row: bytes) -> int:
            tree.append(leaf_hash(bytes.fromhex(row[3:-1].decode())))
            return len(row)

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit.audit_leaf (seal_no, event_id, recorded_at, event_hash) "
            "SELECT (SELECT count(*) FROM audit.audit_leaf) + row_number() OVER (ORDER BY recorded_at, event_id) - 1, "
            "event_id, recorded_at, hash FROM events.event e "
            "WHERE NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)"
        )
        cursor.cursor.copy_expert("COPY (SELECT event_hash FROM audit.audit_leaf ORDER BY seal_no) TO STDOUT", Leaves())
        cursor.execute("ANALYZE events.event")
        cursor.execute("ANALYZE audit.audit_leaf")
    SignedCheckpoint.objects.create(
        tree_size=tree.size, root=tree.root, frontier=tree.frontier,
        note=checkpoints.sign(Checkpoint(tree.size, tree.root), key),
        settled_until=timezone.now(), sealed_at=timezone.now(),
    )  # fmt: skip


def _run(name: str, events: int, command: list[str], environment: dict[str, str]) -> None:
    """Prints what it took. The kernel keeps the most that a program has had in memory since it was loaded."""
    began, most = time.monotonic(), 0
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            most = max(most, int(found.group(1)) if found else 0)
            time.sleep(0.05)
    assert process.returncode == 0, name
    record_figure(f"{name}, {events:,} events", time.monotonic() - began, "s", better="lower")
    record_figure(f"{name}, {events:,} events: memory", most / 2**10, "MiB", better="lower")
    print(f"{name:>33} {time.monotonic() - began:6.1f} s, at most {most / 2**10:4.0f} MiB resident", flush=True)
