"""Installs what is missing on a bare machine: the distribution's packages, the venv, Kafka's jars."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.base import commands, processes
from dev.base.errors import StackError
from dev.base.locks import lock
from dev.base.profile import ROOT, TOOLS, Profile
from dev.base.progress import step
from dev.install import promtool
from dev.servers import java, postgres, rabbitmq
from dev.servers.kafka_jars import jars

# The pseudo-profile of what all profiles share: pip and Maven carry its mark.
EVERYBODY = Profile(name=TOOLS.name, ports={})
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
APT_LOG = TOOLS / "apt.log"
PIP_LOG = TOOLS / "pip.log"
JAVA_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless")
# Chromium for programs: without the parts that a person needs, at a fraction of the processor time
BROWSER_PACKAGE = "chromium-headless-shell"
# Debian asks this file whether a package may start its server; 101 says no.
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# muckard: while its packages are installed"


def install(servers: frozenset[str], *, with_browser: bool = False) -> None:
    """Everything for these servers (names as in SERVER_URLS), nginx and the venv. Harmless when all is there.

    `with_browser` adds what tests alone need: Chromium, and promtool where it can be had.
    """
    with lock(TOOLS / "install.lock", "installing"):
        processes.end_forgotten_helpers(EVERYBODY)
        packages = missing_packages(servers, with_browser=with_browser)
        if packages:
            _install_packages(packages)
        kafka = [_fetch_kafka] if "kafka" in servers and not jars.are_there() else []
        commands.in_parallel([_install_venv, *kafka])
        if with_browser:
            promtool.fetch()


def missing_packages(servers: frozenset[str], *, with_browser: bool = False) -> list[str]:
    """The distribution's packages to install, by what is not found on this machine."""
    missing = []
    if "postgres" in servers and postgres.programs() is None:
        missing.append("postgresql")
    if "rabbitmq" in servers and not rabbitmq.PROGRAM.is_file():
        missing.append("rabbitmq-server")
    if "redis" in servers and not shutil.which("redis-server"):
        missing.append("redis-server")
    if not nginx():
        missing.append("nginx")
    if with_browser and not browser():
        missing.append(BROWSER_PACKAGE)
    if "kafka" in servers and java.find() is None:
        missing.append(JAVA_PACKAGES[0])
    if "kafka" in servers and not jars.are_there() and not shutil.which("mvn"):
        missing.append("maven")
    if not PYTHON.is_file() and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def nginx() -> str | None:
    """The path of nginx. /usr/sbin is not on the PATH of every user."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def browser() -> str | None:
    """The browser that tests drive, without a window: Debian's package, or a Chrome that is there already."""
    return next((path for name in (BROWSER_PACKAGE, "chromium", "google-chrome") if (path := shutil.which(name))), None)


def _install_packages(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise StackError(
            f"These are missing, and this machine has no apt-get to install them: {', '.join(packages)}.",
            advice="install them by this system's own means, or name servers elsewhere by URL (README)",
        )
    become_root = _become_root(packages)
    APT_LOG.unlink(missing_ok=True)
    with step(f"Installing packages: {', '.join(packages)}") as current, _servers_stay_off(become_root):
        _apt(become_root, ["update", "-q"], "The package lists could not be fetched.", may_be_interrupted=True)
        chosen = [_java_package() if package == JAVA_PACKAGES[0] else package for package in packages]
        _apt(
            become_root,
            ["install", "-y", "-q", "--no-install-recommends", *chosen],
            f"apt-get could not install {', '.join(chosen)}.",
            may_be_interrupted=False,
        )
        current.result = f"Installed {', '.join(chosen)}"


def _become_root(packages: list[str]) -> list[str]:
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    raise StackError(
        f"Packages are missing and this user may not install them: {', '.join(packages)}.",
        advice=f"run `sudo apt-get install --no-install-recommends {' '.join(packages)}`, then this command again",
    )


def _apt(become_root: list[str], arguments: list[str], failure: str, *, may_be_interrupted: bool) -> None:
    # In a session of its own and waited for: a dpkg cut off in the middle leaves a machine to be repaired by hand.
    command = [
        *become_root,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "LC_ALL=C",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    if commands.run_logged([*command, *arguments], APT_LOG, may_be_interrupted=may_be_interrupted):
        log = APT_LOG.read_text(errors="replace")
        advice = "check the network and this machine's package sources, then run the same command again"
        if "dpkg --configure -a" in log:
            advice = (
                "an earlier installation was cut off: run `dpkg --configure -a` as root, then the same command again"
            )
        raise StackError(failure, log=APT_LOG, advice=advice)


def _java_package() -> str:
    """The first of the runtimes that this release of the distribution has."""
    for package in JAVA_PACKAGES[:-1]:
        shown = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
        if shown.returncode == 0 and shown.stdout:
            return package
    return JAVA_PACKAGES[-1]


@contextmanager
def _servers_stay_off(become_root: list[str]) -> Iterator[None]:
    """Keeps Debian from starting its own PostgreSQL, RabbitMQ, Redis and nginx when the packages arrive."""
    ours_from_before = POLICY.is_file() and POLICY_MARK in POLICY.read_text(errors="replace")
    if POLICY.exists() and not ours_from_before:
        yield
        return
    script = f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n"
    made = subprocess.run([*become_root, "tee", str(POLICY)], input=script.encode(), capture_output=True, check=False)
    subprocess.run([*become_root, "chmod", "755", str(POLICY)], capture_output=True, check=False)
    try:
        yield
    finally:
        if made.returncode == 0:
            subprocess.run([*become_root, "rm", "-f", str(POLICY)], capture_output=True, check=False)


def _install_venv() -> None:
    """Installs the pinned packages. An interrupted installation is started again from an empty environment."""
    stamp, underway = VENV / ".requirements", VENV / ".installing"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted and PYTHON.is_file() and not underway.exists():
        return
    PIP_LOG.unlink(missing_ok=True)
    with step(f"Installing Python packages from {REQUIREMENTS.relative_to(ROOT)}") as current:
        if underway.exists() or not _has_pip():
            clear = ["--clear"] if VENV.exists() else []
            if commands.run_logged(
                [_base_python(), "-m", "venv", *clear, str(VENV)], PIP_LOG, environment=_environment()
            ):
                raise StackError(
                    "The Python environment .venv could not be made.", log=PIP_LOG, advice="see the log above"
                )
        underway.touch()
        # The file is complete: a dependency that pip resolved itself could be newer than the pinned one.
        command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        pinned = ["--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)]
        if commands.run_logged([*command, *pinned], PIP_LOG, environment=_environment()):
            raise StackError(
                "pip could not install the pinned packages.",
                log=PIP_LOG,
                advice="check the network, then run the same command again",
            )
        stamp.write_text(wanted)
        underway.unlink()
        current.result = f"Installed Python packages from {REQUIREMENTS.relative_to(ROOT)}"


def _environment() -> dict[str, str]:
    return processes.setup_environment(EVERYBODY, os.environ)


def _base_python() -> str:
    """The interpreter outside the venv: the venv is removed before it is created again."""
    return str(getattr(sys, "_base_executable", "") or sys.executable)


def _has_pip() -> bool:
    if not PYTHON.is_file():
        return False
    asked = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _fetch_kafka() -> None:
    with step(f"Fetching Kafka {jars.VERSION} from Maven Central") as current:
        jars.fetch(shutil.which("mvn") or "mvn", _environment())
        current.result = f"Fetched Kafka {jars.VERSION} from Maven Central"
