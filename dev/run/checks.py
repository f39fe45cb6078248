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
    # Whether what it prints is shown when it passes too: that it could not look, for example.
    shows_note: bool = False

    def run(self, given: Mapping[str, str]) -> tuple[bool, str]:
        """Whether the check passes, and all that it printed."""
        command = [str(BIN / self.command[0]), *self.command[1:]]
        done = subprocess.run(
            command, cwd=ROOT, env=dict(given), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return done.returncode == 0, f"{done.stdout}{done.stderr}".strip() or f"exit code {done.returncode}"


CHECKS = (
    Check("The pinned packages suffice for each other (pip check)", ("python", "-m", "pip", "check")),
    Check("Lint (ruff check)", ("ruff", "check", ".")),
    Check("Format (ruff format --check)", ("ruff", "format", "--check", ".")),
    Check("Types (mypy --strict)", ("mypy",)),
    Check(
        "Insecure constructs (bandit)",
        (
            *("bandit", "--quiet", "-ll", "-c", "pyproject.toml", "-r"),
            *("apps", "platform", "dev", "docker", "celery_app.py", "manage.py"),
        ),
    ),
    Check("No secrets in the tree (detect-secrets)", ("python", "-m", "dev.install.secret_scan")),
    Check("Licences of the packages (pip-licenses)", ("python", "-m", "dev.install.licences")),
    Check(
        "Known vulnerabilities of the packages (pip-audit)", ("python", "-m", "dev.install.advisories"), shows_note=True
    ),
    Check("Dependencies between the apps (lint-imports)", ("lint-imports",)),
    Check("Browser libraries are the pinned ones", ("python", "-m", "dev.install.vendor")),
    Check("Migrations are complete", ("python", "manage.py", "makemigrations", "--check", "--dry-run")),
    Check("The compose files follow the process table", ("python", "-m", "dev.config.compose")),
    Check("The Helm chart renders, is valid and follows the process table", ("python", "-m", "dev.config.helm")),
    Check("Prometheus' jobs follow the process table", ("python", "-m", "dev.config.prometheus")),
    Check("The table of processes in the docs is up to date", ("python", "-m", "dev.config.process_docs")),
    Check("The console's texts are translated and compiled", ("python", "-m", "dev.docs.translations")),
    Check("OpenAPI and AsyncAPI documents are up to date", ("python", "manage.py", "check_contracts")),
    Check("Traceability and the list of settings are up to date", ("python", "-m", "dev.docs.pages")),
    Check("The documentation site builds without a warning (mkdocs)", ("mkdocs", "build", "--strict", "--quiet")),
    Check(
        "OpenAPI documents are valid OpenAPI 3.1 (openapi-spec-validator)",
        (
            *("python", "-m", "openapi_spec_validator", "--validation-errors", "all"),
            *(f"docs/openapi-{service}.yaml" for service in ("user", "kraken", "paper")),
        ),
    ),
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
        passed, printed = check.run(given)
        _report(check.title, passed, time.monotonic() - began_at)
        if not passed:
            failed.append(check.title)
        if not passed or (check.shows_note and not printed.startswith("exit code")):
            say(printed)
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
