"""The starter as a person meets it, on a profile of its own: nothing here touches the profiles `run` and `test`."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg2
import pytest

from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import ROOT, SERVER_PORTS, Profile
from dev.config import environment
from dev.run import lifecycle
from tests.support.ports import free_offset

NAME = "devtest"
STACK = [sys.executable, str(ROOT / "dev" / "stack.py")]

pytestmark = pytest.mark.timeout(180)


def clean_environment(**more: str) -> dict[str, str]:
    """Ours, less what points the tests at the servers of the profile `test`."""
    ours = set(environment.SERVER_URLS.values())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MUCKARD_") and name not in ours}
    return kept | more


def begin(command: str, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*STACK, command, "--profile", NAME, "--port-offset", str(free_offset(NAME)), *arguments],
        env=clean_environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stack(command: str, *arguments: str, **more: str) -> tuple[int, str]:
    process = begin(command, *arguments, **more)
    output, _ = process.communicate(timeout=150)
    return process.returncode, output


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    code, output = stack("clean")
    assert code == 0, output
    yield profiles.load(NAME, {}, free_offset(NAME))
    code, output = stack("clean")
    assert code == 0, output


def heads(profile: Profile) -> dict[str, int]:
    """The number of each server's first process."""
    return {process.name: process.pid for process in reversed(processes.running(profile))}


def free(profile: Profile) -> set[str]:
    return {name for name in SERVER_PORTS if not ports.is_busy(profile.ports[name])}


def query(profile: Profile, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(environment.local_url(profile, "postgres"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def test_a_busy_port_ends_with_one_sentence_and_nothing_started(profile: Profile) -> None:
    with socket.create_server(("127.0.0.1", profile.ports["kafka"])):
        code, output = stack("servers")

    assert code == 1
    assert f"Port {profile.ports['kafka']}, which Kafka needs, is taken by " in output
    assert "MUCKARD_KAFKA_PORT=" in output
    assert "Traceback" not in output
    assert processes.running(profile) == []


def test_a_typo_in_a_variable_ends_with_one_sentence_and_nothing_started(profile: Profile) -> None:
    code, output = stack("servers", MUCKARD_REDIS_PROT="1")

    assert code == 1
    assert "MUCKARD_REDIS_PROT is unknown" in output
    assert "did you mean MUCKARD_REDIS_PORT?" in output
    assert processes.running(profile) == []


def test_ctrl_c_in_the_middle_stops_what_was_started(profile: Profile) -> None:
    process = begin("servers")
    deadline = time.monotonic() + 60
    while "rabbitmq" not in heads(profile):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert processes.running(profile) == []


def test_a_starter_that_is_killed_in_the_middle_leaves_what_the_next_one_goes_on_with(profile: Profile) -> None:
    process = begin("servers")
    deadline = time.monotonic() + 60
    while "kafka" not in heads(profile) and "postgres" not in heads(profile):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()

    code, output = stack("servers")

    assert code == 0, output
    assert set(heads(profile)) == {"epmd", "postgres", "rabbitmq", "redis", "kafka"}


def test_starting_what_runs_changes_nothing(profile: Profile) -> None:
    before = heads(profile)
    assert before

    code, output = stack("servers")

    assert code == 0, output
    assert len(re.findall(r"✓ .* runs already", output)) == 4
    assert heads(profile) == before


def test_two_starters_at_once_do_not_get_in_each_others_way(profile: Profile) -> None:
    before = heads(profile)
    first, second = begin("servers"), begin("servers")

    outputs = [each.communicate(timeout=60)[0] for each in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert heads(profile) == before


def test_a_killed_postgresql_comes_back_with_its_data(profile: Profile) -> None:
    query(profile, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    before = heads(profile)
    for process in processes.named(profile, "postgres"):
        process.send(signal.SIGKILL)
    processes.wait_until_gone(processes.named(profile, "postgres"), 10)

    code, output = stack("servers")

    assert code == 0, output
    assert query(profile, "SELECT id FROM kept") == [(7,)]
    after = heads(profile)
    assert after.pop("postgres") != before.pop("postgres")
    assert after == before


def test_the_servers_listen_on_this_machine_only_and_ask_for_a_password(profile: Profile) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host="127.0.0.1", port=profile.ports["postgres"], user="muckard", password="wrong", dbname="muckard"
        )
    for server in ("rabbitmq", "redis"):
        probe = lifecycle.ask(server, re.sub(r":[^:@/]+@", ":wrong@", environment.local_url(profile, server)), 3)
        assert probe.wait(20) == 1, server
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=True)
    ours = {f"{profile.ports[name]:04X}" for name in SERVER_PORTS}
    addresses = {
        fields[1].rpartition(":")[0]
        for fields in (line.split() for line in listening.stdout.splitlines())
        if len(fields) > 3 and fields[3] == "0A" and fields[1].rpartition(":")[2] in ours
    }
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert addresses <= loopback


def test_a_server_given_by_url_is_used_and_said_when_it_does_not_answer(profile: Profile) -> None:
    before = heads(profile)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    nobody = f"redis://127.0.0.1:{port}/0"

    code, output = stack("servers", REDIS_URL=nobody)

    assert code == 1
    assert f"Redis on 127.0.0.1:{port} does not answer within 5 s" in output
    assert "correct or unset REDIS_URL" in output
    assert heads(profile) == before


def test_env_prints_what_a_shell_needs_to_talk_to_the_servers(profile: Profile) -> None:
    _, printed = stack("env")
    script = (
        f'eval "$1"; {sys.executable} -m dev.run.probe postgres 3 <<< "$DATABASE_URL" && echo "$MUCKARD_GATEWAY_PORT"'
    )

    done = subprocess.run(
        ["bash", "-c", script, "sh", printed],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == str(profile.ports["gateway"])


def test_stop_leaves_no_process_and_no_port(profile: Profile) -> None:
    assert stack("status")[0] == 0

    code, output = stack("stop")

    assert code == 0, output
    assert processes.running(profile) == []
    assert free(profile) == set(SERVER_PORTS)
    assert stack("status")[0] == 1


def test_stopping_what_does_not_run_is_harmless(profile: Profile) -> None:
    code, output = stack("stop")

    assert code == 0
    assert output == f"  Nothing of profile {NAME} runs.\n"
