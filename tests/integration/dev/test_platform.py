"""The application processes under circus, as `make run` starts them, on the profile of test_stack."""

import http.client
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import PORTS, Profile
from dev.base.secrets import SERVICES
from dev.config import applications
from dev.run import supervisor
from tests.integration.dev.test_stack import NAME, OFFSET, heads, stack

pytestmark = pytest.mark.timeout(240)
# The starter waits for a minute until all is ready; a machine that does much else may need that.
UP = ("run", "--detach", "--no-walk")


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    stack("clean")
    code, output = stack(*UP)
    assert code == 0, output
    assert "5 services are ready" in output
    yield profiles.load(NAME, {}, OFFSET)
    code, output = stack("clean")
    assert code == 0, output


def status_of(profile: Profile, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", profile.ports["gateway"], timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def wait_for_another(profile: Profile, name: str, before: int, seconds: float = 30) -> int:
    deadline = time.monotonic() + seconds
    while heads(profile).get(name, before) == before:
        assert time.monotonic() < deadline, f"{name} did not come back"
        time.sleep(0.1)
    return heads(profile)[name]


def test_every_process_runs_and_every_service_answers_through_the_gateway(profile: Profile) -> None:
    assert set(supervisor.names(profile)) <= set(heads(profile))
    assert {status_of(profile, f"/health/{service}") for service in SERVICES} == {200}
    assert status_of(profile, "/metrics") == 404


@pytest.mark.parametrize(
    ("port", "figure"),
    [
        ("relay_metrics", 'outbox_oldest_age_seconds{transport="kafka"}'),
        ("dispatcher_metrics", 'outbox_oldest_age_seconds{transport="rabbitmq"}'),
        ("router_metrics", "process_open_fds"),
        ("consume_events_metrics", 'consumer_lag{group="kraken.bot-read-models",partition="0",topic="trading.events"}'),
        ("consume_status_metrics", "status_messages_rejected_total"),
        ("verifier_metrics", "audit_last_success_timestamp_seconds"),
    ],
)
def test_background_processes_serve_their_figures(profile: Profile, port: str, figure: str) -> None:
    deadline = time.monotonic() + 30
    while figure not in (text := figures_of(profile, port)):
        assert time.monotonic() < deadline, text
        time.sleep(0.5)


def figures_of(profile: Profile, port: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{profile.ports[port]}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_a_killed_process_comes_back_and_the_others_do_not_notice(profile: Profile) -> None:
    before = heads(profile)
    for name in ("relay", "user"):
        for process in processes.named(profile, name):
            process.send(signal.SIGKILL)

    for name in ("relay", "user"):
        wait_for_another(profile, name, before[name])

    deadline = time.monotonic() + 30
    while status_of(profile, "/health/user") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    after = heads(profile)
    assert {name for name in before if after.get(name) != before[name]} == {"relay", "user"}


def test_running_it_twice_changes_nothing(profile: Profile) -> None:
    before = heads(profile)

    code, output = stack(*UP)

    assert code == 0, output
    assert heads(profile) == before


def test_no_secret_of_a_process_is_on_its_command_line(profile: Profile) -> None:
    secrets = {
        path.read_text().strip() for path in profile.secrets.rglob("*") if path.is_file() and "public" not in path.name
    }
    for process in processes.running(profile):
        shown = Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace")
        assert [secret for secret in secrets if secret in shown] == [], process.name


def test_processes_that_lost_their_circus_are_taken_over_by_the_next_run(profile: Profile) -> None:
    before = heads(profile)
    for process in processes.named(profile, applications.SUPERVISOR):
        process.send(signal.SIGKILL)

    code, output = stack(*UP)

    assert code == 0, output
    after = heads(profile)
    assert after["relay"] != before["relay"]
    assert after["kafka"] == before["kafka"]
    assert sum(process.name == "relay" for process in processes.running(profile)) == 1


def test_stop_leaves_no_process_and_no_port(profile: Profile) -> None:
    code, output = stack("stop")

    assert code == 0, output
    assert processes.running(profile) == []
    assert [name for name in PORTS if ports.is_busy(profile.ports[name])] == []
