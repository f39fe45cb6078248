"""docker/: the compose files against the compose specification, against each other and against the local stack."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import applications, containers, gateway
from dev import profile as profiles
from dev.errors import StackError
from dev.profile import ROOT, Profile
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


def test_the_containers_are_the_processes_of_the_local_stack(make_profile: Callable[..., Profile]) -> None:
    local = {application.name: application for application in applications.applications(make_profile("run"))}

    assert set(OWN) - {"setup"} == set(local)
    for name, application in local.items():
        assert OWN[name]["environment"]["SERVICE"] == application.service, name
        assert OWN[name]["environment"].get("MUCKARD_DB_ROLE", "") == application.role, name


def test_a_worker_takes_the_same_queues_in_a_container(make_profile: Callable[..., Profile]) -> None:
    for application in applications.applications(make_profile("run")):
        queues = re.findall(r"-Q \S+ -c \d", " ".join(application.command))
        assert queues == re.findall(r"-Q \S+ -c \d", str(OWN[application.name]["command"])), application.name


def test_the_same_processes_serve_figures_in_a_container_and_to_other_containers_too(
    make_profile: Callable[..., Profile],
) -> None:
    with_figures = {
        application.name
        for application in applications.applications(make_profile("run"))
        if "--metrics-port" in application.command
    }

    told = {
        name: str(service["command"]) for name, service in OWN.items() if "--metrics-port" in str(service["command"])
    }

    assert told.keys() == with_figures
    assert all(command.endswith("--metrics-address 0.0.0.0 --metrics-port 9100") for command in told.values())


def test_gunicorn_runs_with_the_same_options_in_a_container(make_profile: Callable[..., Profile]) -> None:
    user = next(each for each in applications.applications(make_profile("run")) if each.name == "user")
    shared = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", OWN["user"]["environment"]["GUNICORN_CMD_ARGS"]).split()

    assert [option for option in user.command if option not in ("gunicorn", "--bind")][2:] == shared


def test_the_number_of_web_processes_is_one_setting_here_and_there(make_profile: Callable[..., Profile]) -> None:
    local = applications.applications(make_profile("run"), {"MUCKARD_WEB_WORKERS": "3"})
    web = [application for application in local if application.command[0] == "gunicorn"]

    assert len(web) == 5
    for application in web:
        assert "--workers 3" in " ".join(application.command), application.name
        in_container = OWN[application.name]
        assert "--workers ${MUCKARD_WEB_WORKERS:-1} " in in_container["environment"]["GUNICORN_CMD_ARGS"]
        assert "--workers" not in in_container["command"]


def test_a_number_of_web_processes_that_is_none_is_refused_by_name(make_profile: Callable[..., Profile]) -> None:
    with pytest.raises(StackError, match="MUCKARD_WEB_WORKERS='none'"):
        applications.applications(make_profile("run"), {"MUCKARD_WEB_WORKERS": "none"})


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

    assert check.get("test") or (name == "setup" and check == {"disable": True})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned(name: str) -> None:
    image = SERVICES[name]["image"]

    assert image == "muckard:local" or re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image), image


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

    assert published == {"gateway": ["${MUCKARD_GATEWAY_PORT:-8080}:8080"], "flower": ["127.0.0.1:5555:5555"]}


def test_the_image_runs_as_nobody_in_particular() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)

    assert users == ["10001:10001"]


def test_the_gateways_template_gets_every_value_that_it_asks_for(make_profile: Callable[..., Profile]) -> None:
    given = set(MICROSERVICES["services"]["gateway"]["environment"])

    assert given == set(gateway.values(make_profile("run"), {}))


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


def test_a_service_that_does_not_answer_is_not_healthy() -> None:
    assert "Connection refused" in (healthy.http("1") or "")


def _source(secret: str | dict[str, str]) -> str:
    return secret if isinstance(secret, str) else secret["source"]
