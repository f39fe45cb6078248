"""Each service against its OpenAPI document, by requests that Schemathesis makes from it: valid ones and broken ones.

All of Schemathesis' checks are on: no 5xx, documented statuses, content types and headers, answers of their schema,
broken requests refused, valid ones not, unsupported methods, log-in asked for. Through nginx, to gunicorn.

The suite runs the deterministic phases for some seconds. `make fuzz` runs all phases for long (FUZZ_SECONDS a service),
from a seed that it prints (FUZZ_SEED repeats it).
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.members import PASSWORD, members
from tests.support.openapi import ROOT

HERE = Path(__file__).parent
# Who asks: an administrator also reaches what is for staff.
CALLERS = {"user": "admin", "kraken": "trader", "paper": "trader"}
# Of what the whole suite may take.
SECONDS = {"user": 20, "kraken": 20, "paper": 8}
LONG_SECONDS = int(os.environ.get("FUZZ_SECONDS") or 600)
SEED = int(os.environ.get("FUZZ_SEED") or random.randrange(1 << 32))


def fuzz(service: str, gateway: Gateway, folder: Path, *options: str) -> None:
    """Runs Schemathesis. Fails with its report, which has a command for each failure that repeats it."""
    url = f"http://127.0.0.1:{gateway.profile.ports['gateway']}"
    account = {"email": members().emails[CALLERS[service]], "password": PASSWORD}
    command = [
        str(Path(sys.executable).with_name("st")), "--no-color", "--config-file", str(HERE / "schemathesis.toml"),
        "run", str(ROOT / "docs" / f"openapi-{service}.yaml"), "--no-shrink",
        "--generation-database", "none", "--request-timeout", "60", "--warnings", "off",
        "--url", os.environ["MUCKARD_PAPER_EXCHANGE_URL"] if service == "paper" else url, *options,
    ]  # fmt: skip
    given = {
        "FUZZ_URL": url,
        "FUZZ_ACCOUNT": json.dumps(account),
        "SCHEMATHESIS_HOOKS": "tests.acceptance.fuzz.hooks",
        "PYTHONPATH": str(ROOT),
    }
    result = subprocess.run(
        command, cwd=folder, env=os.environ | given, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(240)
@pytest.mark.parametrize("service", sorted(CALLERS))
def test_answers_are_as_the_document_says(service: str, open_gateway: Gateway, tmp_path: Path) -> None:
    fuzz(
        service, open_gateway, tmp_path,
        "--phases", "examples,coverage", "--seed", "1", "--max-time", str(SECONDS[service]),
    )  # fmt: skip


@pytest.mark.fuzz
@pytest.mark.timeout(LONG_SECONDS + 600)
@pytest.mark.parametrize("service", sorted(CALLERS))
def test_answers_are_as_the_document_says_for_long(service: str, open_gateway: Gateway, tmp_path: Path) -> None:
    print(f"\n{service}: FUZZ_SEED={SEED} FUZZ_SECONDS={LONG_SECONDS}")
    fuzz(
        service, open_gateway, tmp_path,
        "--continue-on-failure", "--seed", str(SEED), "--max-time", str(LONG_SECONDS),
    )  # fmt: skip
