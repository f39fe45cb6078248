"""The application processes under circus, as `make run` starts them, on the profile of test_stack."""

import http.client
import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.core.metrics import EVERY
from apps.core.process_table import PROCESSES, Process, process_of_heartbeat
from apps.ops.metrics_page import RABBITMQ, declarations
from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import PORTS, Profile, metrics_port
from dev.base.secrets import SERVICES, WEB
from dev.config import circus
from dev.run import supervisor
from dev.run.starter import SMOKE_TEST_FAILED
from tests.integration.dev.test_stack import NAME, begin, heads, stack
from tests.support.ports import free_offset
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)
# The starter waits for a minute until all is ready; a machine that does much else may need that.
UP = ("run", "--detach", "--no-smoke-test")


@pytest.fixture(scope="module")
def profile() -> Iterator[Profile]:
    stack("clean")
    code, output = stack(*UP)
    assert code == 0, output
    assert f"{len(WEB)} services are ready" in output
    yield profiles.load(NAME, {}, free_offset(NAME))
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


def log_end(profile: Profile, name: str) -> str:
    return f"\n{name}:\n{(profile.logs / f'{name}.log').read_text()[-3000:]}"


def wait_for_another(profile: Profile, name: str, before: int, seconds: float = 30) -> int:
    deadline = time.monotonic() + seconds
    while heads(profile).get(name, before) == before:
        assert time.monotonic() < deadline, f"{name} did not come back"
        time.sleep(0.1)
    return heads(profile)[name]


def test_every_process_runs_and_every_service_answers_through_the_gateway(profile: Profile) -> None:
    assert set(supervisor.names()) <= set(heads(profile))
    assert {status_of(profile, f"/health/{service}") for service in SERVICES} == {200}
    assert status_of(profile, "/metrics") == 404


METRICS = {
    "relay": 'outbox_oldest_age_seconds{transport="kafka"}',
    "dispatcher": 'outbox_oldest_age_seconds{transport="rabbitmq"}',
    "event-consumer": 'consumer_lag{group="kraken.bot-read-models",partition="0",topic="trading.events"}',
    "user-consumer": 'consumer_lag{group="security",partition="0",topic="user.events"}',
    "status-consumer": "status_messages_rejected_total",
    "retry-router": 'process_stalled{name="retry-router.high"}',
    "housekeeping": 'housekeeping_last_success_timestamp_seconds{task="event_partitions"}',
    "verifier": "audit_last_success_timestamp_seconds",
    "flower": "flower_",
    **{name: "http_request_duration_seconds_count{" for name, process in PROCESSES.items() if process.kind == "web"},
    **{name: f'process_stalled{{name="{name}@' for name in PROCESSES if name.startswith("worker")},
    **{name: f'process_stalled{{name="{name}"}}' for name in ("scheduler", "reconciler", "checkpointer", "mailer")},
}


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "gateway"])
def test_every_process_of_the_table_serves_its_metrics(profile: Profile, name: str) -> None:
    metric = METRICS[name]
    eventually(lambda: metric in metrics_of(profile, PROCESSES[name]), seconds=150, what=metric)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name in EVERY])
def test_every_process_serves_each_metric_that_is_documented_for_it(profile: Profile, name: str) -> None:
    declared = {each.family for each in declarations().values() if name in each.processes}

    missing = declared - families(metrics_of(profile, PROCESSES[name]))

    assert missing == set()


def test_rabbitmq_serves_the_metrics_that_are_documented_of_it(profile: Profile) -> None:
    shown: set[str] = set()
    for path in ("/metrics", "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"):
        address = f"http://127.0.0.1:{profile.ports['rabbitmq_metrics']}{path}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            shown |= families(answer.read().decode())

    assert set(RABBITMQ) - shown == set()


def families(text: str) -> set[str]:
    """The names of metrics in a scrape; a counter's without `_total`."""
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    return {name.removesuffix("_total") for name in named}


def metrics_of(profile: Profile, process: Process) -> str:
    port = profile.ports[metrics_port(process.name) if process.metrics_port else process.name]
    # Flower's pages all have the prefix that the gateway serves them at.
    path = "/flower/metrics" if process.kind == "flower" else "/metrics"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def test_every_process_of_the_table_is_up_in_the_health_report_under_its_own_name(profile: Profile) -> None:
    expected = {name for name, process in PROCESSES.items() if process.has_heartbeat}
    eventually(lambda: expected <= reported(profile), seconds=60, what="every process's heartbeat")


def reported(profile: Profile) -> set[str]:
    """The processes that /health says are up."""
    with urllib.request.urlopen(f"http://127.0.0.1:{profile.ports['gateway']}/health", timeout=10) as answer:
        states = json.load(answer)["dependencies"]
    return {process_of_heartbeat(each["name"]) for each in states if each["state"] == "up"}


def test_every_process_has_a_log_of_its_own_name_and_names_itself_in_it(profile: Profile) -> None:
    assert [name for name in PROCESSES if not profile.log(name).is_file()] == []
    assert '"process": "relay"' in profile.log("relay").read_text()


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
    for process in processes.named(profile, circus.SUPERVISOR):
        process.send(signal.SIGKILL)

    code, output = stack(*UP)

    assert code == 0, output
    after = heads(profile)
    assert after["relay"] != before["relay"]
    assert after["kafka"] == before["kafka"]
    assert sum(process.name == "relay" for process in processes.running(profile)) == 1


def test_other_market_data_than_the_platform_that_is_up_has_are_refused(profile: Profile, tmp_path: Path) -> None:
    before = heads(profile)

    code, output = stack(*UP, MARKET_DATA=str(tmp_path / "ETHUSD_60.csv"))

    assert code == 1
    assert f"The platform of profile {NAME} is up and replays " in output
    assert f"make stop PROFILE={NAME}, then start it with MARKET_DATA={tmp_path / 'ETHUSD_60.csv'}" in output
    assert heads(profile) == before


# A password that the platform refuses: the smoke test fails on its first request.
BROKEN = {"MUCKARD_DEMO_PASSWORD": "short"}


def test_a_failed_smoke_test_has_an_exit_code_of_its_own_and_leaves_up_what_is_up(profile: Profile) -> None:
    before = heads(profile)

    code, output = stack("run", "--detach", **BROKEN)

    assert code == SMOKE_TEST_FAILED == 3, output
    assert "The smoke test failed. POST /api/v1/auth/register answered 422" in output
    assert "The smoke test failed; the platform is up and stays up." in output
    assert f"Again: make smoke-test PROFILE={NAME}" in output
    assert "Traceback" not in output
    assert heads(profile) == before


def test_the_smoke_test_passes_again_by_itself(profile: Profile) -> None:
    before = heads(profile)

    code, output = stack("smoke-test")

    assert code == 0, output + "".join(log_end(profile, name) for name in supervisor.names() if "worker" in name)
    assert "The event store is whole." in output
    assert heads(profile) == before


def test_a_failed_smoke_test_leaves_up_what_the_same_call_has_started_until_ctrl_c(profile: Profile) -> None:
    assert stack("stop", "--applications")[0] == 0
    process = begin("run", **BROKEN)
    assert process.stdout is not None
    seen = ""
    while "Ctrl-C stops it." not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line

    assert "The smoke test failed; the platform is up and stays up." in seen
    assert set(supervisor.names()) <= set(heads(profile))
    assert status_of(profile, "/health/user") == 200
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=90)

    assert process.returncode == 130, output
    assert not set(supervisor.names()) & set(heads(profile))
    assert "kafka" in heads(profile)  # an earlier call has started it


def test_a_smoke_test_of_what_is_down_is_one_sentence(profile: Profile) -> None:
    code, output = stack("smoke-test")

    assert code == 1
    assert f"The platform of profile {NAME} is down." in output


def test_stop_leaves_no_process_and_no_port(profile: Profile) -> None:
    code, output = stack("stop")

    assert code == 0, output
    assert processes.running(profile) == []
    assert [name for name in PORTS if ports.is_busy(profile.ports[name])] == []
