"""Point-in-time recovery of the database with PostgreSQL's own tools, on a server that the test starts."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from dev.base import data_folder, processes, secrets
from dev.base.profile import ROOT, Profile, load
from dev.config import environment
from dev.run import lifecycle
from dev.servers import postgres

pytestmark = pytest.mark.timeout(600)

PUBLISH = """
from django.db import transaction
from django.utils import timezone
from uuid import uuid4
from apps.messages.user import UserUpdated
from apps.events.store.publish import publish
for _ in range(5):
    with transaction.atomic():
        publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
"""


class Cluster:
    """A PostgreSQL server with archiving of its write-ahead log, which can be backed up, stopped and restored."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.data = data_folder.of(profile) / "data"
        self.archive = data_folder.of(profile) / "archive"
        self.backup = data_folder.of(profile) / "backup"
        self.url = environment.local_url(profile, "postgres")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server; returns once it accepts writes."""
        launch = postgres.launch(self.profile)
        self.archive.mkdir(exist_ok=True)
        if launch.user:
            shutil.chown(self.archive, launch.user)
        settings = {
            "archive_mode": "on",
            "archive_command": f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f",
            "restore_command": f"cp {self.archive}/%f %p",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = processes.spawn(
            self.profile, "postgres", (*launch.command, *options),
            environment=launch.environment, folder=launch.folder, user=launch.user,
        )  # fmt: skip
        probe = lifecycle.ask("postgres", self.url, 30)
        assert probe.wait() == 0, self.profile.log("postgres").read_text()[-3000:]
        while self.query("SELECT pg_is_in_recovery()") == "True":
            pass

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def query(self, statement: str) -> str:
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                ((value,),) = cursor.fetchall()
                return str(value)
        finally:
            connection.close()

    def back_up(self) -> None:
        programs = postgres.programs()
        assert programs is not None
        command = [str(programs / "pg_basebackup"), "-d", self.url, "-D", str(self.backup), "--checkpoint=fast"]
        subprocess.run(command, check=True, capture_output=True)

    def restore(self, moment: str) -> None:
        """Restores the base backup and replays the archived log up to that time."""
        self.stop()
        user = postgres.launch(self.profile).user
        shutil.rmtree(self.data)
        shutil.copytree(self.backup, self.data)
        (self.data / "recovery.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n")
        if user:
            subprocess.run(["chown", "-R", user, str(self.data)], check=True)
        self.data.chmod(0o700)
        self.start()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the platform's tables; it is removed afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = load("recovery", {"MUCKARD_POSTGRES_PORT": str(port)}, 7000)
    profile.create()
    secrets.create(profile)
    shutil.rmtree(data_folder.of(profile), ignore_errors=True)
    postgres.prepare(profile)
    cluster = Cluster(profile)
    try:
        cluster.start()
        manage(cluster, "setup_database")
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)
        shutil.rmtree(data_folder.of(profile), ignore_errors=True)
        shutil.rmtree(profile.folder, ignore_errors=True)


def manage(cluster: Cluster, *arguments: str, fails: bool = False) -> str:
    """The command's output. Asserts that it succeeds, or fails if `fails`."""
    given = dict(os.environ) | {"DATABASE_URL": cluster.url, "SERVICE": "staff"}
    if arguments[0] == "run_reconciler":
        given = given | {"SERVICE": "bot"}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, output
    return output


def test_a_restore_is_a_divergence_until_it_is_recorded_and_whole_from_then_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    sealing = ("run_checkpointer", "--once", "--witness", str(file))
    verifying = ("audit_verify", "--witness", str(file))
    manage(cluster, "shell", "-c", PUBLISH)
    manage(cluster, *sealing)
    manage(cluster, "run_reconciler", "--once")
    cluster.back_up()
    manage(cluster, "shell", "-c", PUBLISH)
    manage(cluster, *sealing)
    moment = cluster.query("SELECT clock_timestamp()")
    manage(cluster, "shell", "-c", PUBLISH)
    manage(cluster, *sealing)
    assert "The event store is whole." in manage(cluster, *verifying)
    cluster.query("SELECT pg_switch_wal()")
    seen = file.read_text()

    cluster.restore(moment)

    assert cluster.query("SELECT count(*) FROM events.event") == "10"
    assert "the witness saw 15 sealed events, the database ends at 10: it was set back" in manage(
        cluster, *verifying, fails=True
    )
    manage(cluster, "shell", "-c", PUBLISH)
    assert "After a restore from a backup, record it" in manage(cluster, *sealing, fails=True)
    assert "Record to which moment" in manage(cluster, "run_reconciler", "--once", fails=True)
    assert file.read_text() == seen, "nothing of the other history stands in the file"

    record = (
        "record_restore", "--restored-to", moment, "--reason", "disk lost", "--operator", "ops", "--witness", str(file),
    )  # fmt: skip
    assert "it saw 15 sealed events, 10 of them as the database has them" in manage(cluster, *record)

    assert (tmp_path / "notes.epoch-1").read_text() == seen
    assert "The event store is whole." in manage(cluster, *verifying)
    manage(cluster, *sealing)
    manage(cluster, "run_reconciler", "--once")
    assert "16 of 16" in manage(cluster, *verifying)
    assert "Was recorded before" in manage(cluster, *record)
    assert cluster.query("SELECT count(*) FROM events.event WHERE event_type = 'audit.restored'") == "1"

    closed = tmp_path / "notes.epoch-1"
    closed.write_text(seen + "\n")
    assert "no restore is recorded that closed this file as it is now" in manage(cluster, *verifying, fails=True)
    closed.unlink()
    assert "a restore is recorded that closed this file, and it is not there" in manage(cluster, *verifying, fails=True)
