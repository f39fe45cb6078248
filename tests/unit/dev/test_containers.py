"""docker/: the compose files against the compose specification, against each other and against the local stack."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.core.process_table import PROCESSES
from dev.base import profile as profiles
from dev.base.profile import ROOT
from dev.config import compose, containers, gateway
from docker import healthy

INFRASTRUCTURE, MICROSERVICES = (yaml.safe_load(path.read_text()) for path in containers.FILES)
SERVICES: dict[str, dict[str, Any]] = {**INFRASTRUCTURE["services"], **MICROSERVICES["services"]}
SECRETS: dict[str, dict[str, str]] = {**INFRASTRUCTURE["secrets"], **MICROSERVICES["secrets"]}
OWN = {name: service for name, service in MICROSERVICES["services"].items() if name != "gateway"}


@pytest.mark.parametrize("path", containers.FILES, ids=lambda path: path.name)
def test_the_file_is_what_the_compose_specification_says(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_containers_are_the_processes_of_the_process_table() -> None:
    assert compose.differences(MICROSERVICES["services"], PROCESSES) == []


@pytest.mark.parametrize(
    ("name", "changed", "sentence"),
    [
        ("relay", {"command": "python manage.py relay"}, "relay: its command is 'python manage.py relay'"),
        ("relay", {"stop_signal": "SIGINT"}, "relay: stop_signal is INT, the process table says TERM."),
        ("worker", {"stop_grace_period": "10s"}, "worker: stop_grace_period is 10 s, the process table says 20 s."),
        ("worker-high", {"environment": {}}, "worker-high: SERVICE is None, the process table says 'bot'."),
        ("verifier", {"environment": {}}, "verifier: MUCKARD_DB_ROLE is None, the process table says 'verifier'."),
        ("mailer", {"environment": {}}, "mailer: MUCKARD_METRICS_PORT is None, the process table says '9110'."),
        ("mailer", {"environment": {}}, "mailer: MUCKARD_METRICS_ADDRESS must be 0.0.0.0"),
        ("relay", {"networks": ["postgres", "paper"]}, "relay: it is in the networks paper, postgres, and needs "),
        ("gateway", {"networks": ["postgres"]}, "gateway: it is in the networks postgres, and needs "),
        ("scheduler", {"pids_limit": None}, "scheduler: pids_limit limits nothing."),
        ("flower", {"secrets": ["vault_key"]}, "flower: it has the secrets vault_key, and reads "),
        ("staff", {"environment": {}}, "staff: HEALTH_PORT is None, the process table says '8003'."),
    ],
)  # fmt: skip
def test_a_container_that_differs_from_the_process_table_is_named(
    name: str, changed: dict[str, Any], sentence: str
) -> None:
    services = MICROSERVICES["services"]

    found = compose.differences(services | {name: services[name] | changed}, PROCESSES)

    assert any(each.startswith(sentence) for each in found), found


def test_a_process_without_a_container_and_a_container_without_a_process_are_named() -> None:
    services = {f"{name}s" if name == "relay" else name: each for name, each in MICROSERVICES["services"].items()}

    assert compose.differences(services, PROCESSES) == [
        "relay: the process table has it, the compose file has no such service.",
        "relays: is no process of the process table.",
    ]


def test_the_number_of_web_workers_is_one_setting_here_and_there() -> None:
    for process in PROCESSES.values():
        if process.kind == "web":
            assert OWN[process.name]["environment"]["MUCKARD_WEB_WORKERS"] == "${MUCKARD_WEB_WORKERS:-}"


def test_the_gateway_may_open_a_file_for_every_connection_that_it_holds() -> None:
    template = gateway.TEMPLATE.read_text()
    connections, files = (
        int(re.findall(rf"^\s*{directive} (\d+);", template, re.MULTILINE)[0])
        for directive in ("worker_connections", "worker_rlimit_nofile")
    )
    allowed = MICROSERVICES["services"]["gateway"]["ulimits"]["nofile"]

    assert connections >= 8192
    # Listening sockets, logs and the like come on top.
    assert files >= connections + 512
    assert min(allowed["soft"], allowed["hard"]) >= files


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_says_whether_it_is_healthy(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check.get("test") or (name in ("setup", "tools") and check == {"disable": True})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned(name: str) -> None:
    image = SERVICES[name]["image"]

    # The variable is for the image's digest.
    assert re.fullmatch(r"\$\{MUCKARD_[A-Z]*_?IMAGE:-(muckard:local|[a-z/-]+:\d+\.\d+(\.\d+)?(-\w+)?)\}", image), image


def test_every_container_has_limits_and_networks_that_exist() -> None:
    networks = {**INFRASTRUCTURE["networks"], **MICROSERVICES["networks"]}

    for name, service in SERVICES.items():
        assert all(service[limit] for limit in ("mem_limit", "cpus", "pids_limit")), name
        assert service["networks"], name
        assert set(service["networks"]) <= networks.keys(), name
    assert {name for name, network in networks.items() if not network.get("internal")} == {"internet", "outside"}
    assert [name for name, service in SERVICES.items() if "outside" in service["networks"]] == ["gateway"]


def test_who_has_no_business_with_a_server_or_the_internet_cannot_reach_it() -> None:
    def members(network: str) -> set[str]:
        return {name for name, service in SERVICES.items() if network in service["networks"]}

    trading = {"kraken", "worker", "worker-high", "worker-ticks", "reconciler"}
    assert members("internet") == trading | {"mailer"}
    assert members("paper") == trading | {"paper"}
    assert not members("postgres") & {"gateway", "flower", "rabbitmq", "redis", "kafka"}
    assert not members("rabbitmq") & {"user", "kraken", "paper", "bot", "relay", "verifier"}


def test_the_vault_s_key_is_where_exchange_keys_are_used_and_the_key_that_signs_checkpoints_where_they_are_made() -> (
    None
):
    def holders(secret: str) -> set[str]:
        return {name for name, service in OWN.items() if secret in {_source(each) for each in service["secrets"]}}

    assert holders("vault_key") == {"kraken", "worker", "worker-high", "worker-ticks", "reconciler"}
    assert holders("audit_signing_key") == {"checkpointer", "tools"}
    assert holders("admin_password") == {"setup"}


@pytest.mark.parametrize("name", sorted(OWN))
def test_our_containers_have_no_rights_that_they_do_not_need(name: str) -> None:
    service = OWN[name]

    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_no_secret_stands_in_a_compose_file_or_the_image() -> None:
    for path in (*containers.FILES, ROOT / "docker" / "Dockerfile"):
        text = path.read_text()
        assert not re.search(r"://[^/\s@:]+:[^/\s@]+@", text), path
        assert "BEGIN" not in text
        for line in text.splitlines():
            variable = re.match(r"\s*(?:ENV )?([A-Z_]*(?:PASSWORD|SECRET|KEY|TOKEN))\s*[:=]\s*(\S+)", line)
            assert variable is None, line
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert next(line for line in ignored if line and not line.startswith("#")) == "*"
    assert not [line for line in ignored if line.startswith("!") and (".local" in line or "secrets" in line)]


def test_only_the_gateway_and_flower_are_reachable_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"gateway": ["${MUCKARD_GATEWAY_PORT:-8080}:8080"]}


def test_the_image_runs_as_nobody_in_particular() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)

    assert users == ["10001:10001"]


def test_every_mounted_secret_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "LOCAL", tmp_path)

    where = containers.create()

    files = {name: secret["file"].removeprefix("../.local/docker/secrets/") for name, secret in SECRETS.items()}
    assert [path for path in files.values() if not (where / path).is_file()] == []
    assert where.stat().st_mode & 0o777 == 0o700
    used = {_source(secret) for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(SECRETS)


def test_making_them_again_keeps_every_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "LOCAL", tmp_path)
    where = containers.create()
    before = {path: path.read_bytes() for path in where.rglob("*") if path.is_file()}

    containers.create()

    assert {path: path.read_bytes() for path in where.rglob("*") if path.is_file()} == before


def test_the_user_service_is_given_no_vault_key_and_only_it_may_sign_tokens() -> None:
    holders = {name: {_source(secret) for secret in service.get("secrets", [])} for name, service in OWN.items()}

    assert "vault_key" not in holders["user"]
    signers = [name for name, held in holders.items() if "jwt_private_key" in held]
    assert {OWN[name]["environment"]["SERVICE"] for name in signers} == {"user"}
    assert [name for name, held in holders.items() if "owner_url" in held] == ["setup"]


@pytest.mark.parametrize(("state", "healthy_now"), [("S", True), ("R", True), ("D", True), ("T", False), ("Z", False)])
def test_a_process_that_is_stopped_is_not_healthy(tmp_path: Path, state: str, healthy_now: bool) -> None:
    stat = tmp_path / "stat"
    stat.write_text(f"1 (celery (x) y) {state} 0 1 1")

    assert (healthy.main_process(stat) is None) is healthy_now


def test_a_loop_that_has_ended_no_step_for_long_is_named(tmp_path: Path) -> None:
    for name in ("main", "pool"):
        (tmp_path / name).touch()
    assert healthy.loops(tmp_path, 100) is None
    assert healthy.loops(tmp_path / "none", 100) is None
    os.utime(tmp_path / "pool", (time.time() - 70, time.time() - 70))

    assert healthy.loops(tmp_path, 100) == "The loop pool has ended no step for 70 s."


def test_a_service_that_does_not_answer_is_not_healthy() -> None:
    assert "Connection refused" in (healthy.http("1") or "")


def _source(secret: str | dict[str, str]) -> str:
    return secret if isinstance(secret, str) else secret["source"]


def test_live_trading_is_one_switch_for_whoever_takes_or_runs_commands_and_off() -> None:
    told = {name for name, service in OWN.items() if "MUCKARD_LIVE_TRADING" in service["environment"]}

    assert told == {name for name, service in OWN.items() if service["environment"]["SERVICE"] in ("kraken", "bot")}
    assert {OWN[name]["environment"]["MUCKARD_LIVE_TRADING"] for name in told} == {"${MUCKARD_LIVE_TRADING:-false}"}
