"""`make check`: runs all checks of the tree, also after one has failed, and prints the time of each."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from dev.base.errors import StackError
from dev.base.profile import ROOT, Profile
from dev.base.progress import DONE, FAILED, say, show_failure
from dev.config import gateway
from dev.install import installer
from dev.run import starter

BIN = installer.VENV / "bin"


@dataclass(frozen=True)
class Check:
    title: str
    command: tuple[str, ...]

    def run(self, given: Mapping[str, str]) -> str | None:
        """None if the check passes, else all that it printed."""
        command = [str(BIN / self.command[0]), *self.command[1:]]
        done = subprocess.run(
            command, cwd=ROOT, env=dict(given), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return None if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip() or f"exit code {done.returncode}"


CHECKS = (
    Check("The pinned packages suffice for each other (pip check)", ("python", "-m", "pip", "check")),
    Check("Lint (ruff check)", ("ruff", "check", ".")),
    Check("Format (ruff format --check)", ("ruff", "format", "--check", ".")),
    Check("Types (mypy --strict)", ("mypy",)),
    Check("Dependencies between the apps (lint-imports)", ("lint-imports",)),
    Check("Migrations are complete", ("python", "manage.py", "makemigrations", "--check", "--dry-run")),
    Check("The compose files follow the process table", ("python", "-m", "dev.config.compose")),
    Check("The table of processes in the docs is up to date", ("python", "-m", "dev.config.process_docs")),
    Check("OpenAPI and AsyncAPI documents are up to date", ("python", "manage.py", "check_contracts")),
)


def run(profile: Profile) -> int:
    """0 if every check passes, else 1. The output of a failed check is shown completely."""
    starter.prepare_without_servers(profile)
    given = {
        **os.environ,
        "MUCKARD_ENVIRONMENT": "test",
        # Some settings need their secret. No check talks to a server.
        "MUCKARD_SECRETS_DIR": str(profile.secrets),
        "SERVICE": "staff",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
    }
    failed = []
    for check in CHECKS:
        began_at = time.monotonic()
        problem = check.run(given)
        _report(check.title, problem is None, time.monotonic() - began_at)
        if problem is not None:
            failed.append(check.title)
            say(problem)
    if not _gateway_passes(profile):
        failed.append("The gateway's configuration")
    say(
        f"  {len(CHECKS) + 1 - len(failed)} checks passed, {len(failed)} failed."
        + "".join(f"\n    {name}" for name in failed)
    )
    return 1 if failed else 0


def _gateway_passes(profile: Profile) -> bool:
    began_at = time.monotonic()
    try:
        gateway.write(profile, os.environ)
    except StackError as error:
        show_failure(error)
        return False
    _report("The gateway's configuration (nginx -t)", True, time.monotonic() - began_at)
    return True


def _report(title: str, passed: bool, seconds: float) -> None:
    say(f"  {DONE if passed else FAILED} {title:<72} {seconds:6.1f} s")
