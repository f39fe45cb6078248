"""Each container starts with just the secrets and variables that its compose file gives it, in production."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.base import profile as profiles
from dev.base.profile import ROOT
from dev.config import containers

PROCESSES: dict[str, dict[str, Any]] = yaml.safe_load(containers.FILES[1].read_text())["services"]
# One of each kind: what the others of the same service and role are given is the same.
NAMES = (
    "user",
    "kraken",
    "bot",
    "staff",
    "paper",
    "setup",
    "relay",
    "dispatcher",
    "checkpointer",
    "verifier",
    "worker",
    "scheduler",
    "mailer",
    "housekeeping",
    "flower",
    "tools",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "LOCAL", tmp_path_factory.mktemp("docker"))
    try:
        return containers.create()
    finally:
        patch.undo()


def check(name: str, made: Path, mounted: Path, without: str = "") -> "subprocess.CompletedProcess[str]":
    """`manage.py check` as the container `name`, its secrets mounted below `mounted`."""
    sources = yaml.safe_load(containers.FILES[1].read_text())["secrets"]
    for secret in PROCESSES[name]["secrets"]:
        if secret["source"] == without:
            continue
        target = mounted / secret["target"].removeprefix("/run/secrets/")
        target.parent.mkdir(exist_ok=True)
        file = sources[secret["source"]]["file"].removeprefix("../.local/docker/secrets/")
        target.write_bytes((made / file).read_bytes())
    variables = {key: value for key, value in PROCESSES[name]["environment"].items() if "${" not in value}
    variables |= {"MUCKARD_SECRETS_DIR": str(mounted), "PATH": os.environ["PATH"]}
    command = [sys.executable, "manage.py", "check"]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_has_every_secret_that_it_needs(name: str, made: Path, tmp_path: Path) -> None:
    done = check(name, made, tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "missing", "variable"),
    [
        ("user", "user_secret_key", "MUCKARD_SECRET_KEY"),
        ("relay", "db_password_relay", "MUCKARD_DB_PASSWORD_RELAY"),
    ],
)
def test_a_missing_secret_ends_it_with_one_sentence(
    name: str, missing: str, variable: str, made: Path, tmp_path: Path
) -> None:
    done = check(name, made, tmp_path, without=missing)

    assert done.returncode != 0
    assert f"The secret {variable} is missing" in done.stderr
    assert "Traceback" not in done.stderr
