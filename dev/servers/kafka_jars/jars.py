"""Kafka's jars: resolved by Maven from the pinned pom beside this file, checked against the hashes beside it."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from dev.base import commands
from dev.base.errors import StackError
from dev.base.profile import TOOLS

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
HASHES = HERE / "jars.sha256"
LOG = TOOLS / "maven.log"


def _version() -> str:
    found = re.search(r"<kafka\.version>([\d.]+)<", POM.read_text(encoding="utf-8"))
    return found.group(1) if found else "unknown"


VERSION = _version()


def folder() -> Path:
    """Where the jars of this pom are, once they are there; another pom gets another folder."""
    return TOOLS / f"kafka-{VERSION}-{hashlib.sha256(HASHES.read_bytes()).hexdigest()[:12]}"


def are_there() -> bool:
    return folder().is_dir()


def fetch(maven: str, given: Mapping[str, str]) -> None:
    """Resolves the jars aside, checks each of them, and puts them in place whole. `given` is Maven's environment."""
    fresh = folder().with_name(f"{folder().name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    LOG.unlink(missing_ok=True)
    command = [maven, "-B", "-ntp", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    if commands.run_logged([*command, f"-DoutputDirectory={fresh}"], LOG, environment=given):
        raise StackError(
            f"Maven could not fetch Kafka {VERSION} from Maven Central.",
            log=LOG,
            advice="check the network (and the proxy in ~/.m2/settings.xml), then run the same command again",
        )
    wrong = differences(fresh, HASHES.read_text(encoding="utf-8"))
    if wrong:
        raise StackError(
            f"What Maven fetched for Kafka {VERSION} is not what {HASHES.name} lists: {', '.join(wrong[:3])}.",
            advice="do not use these files; if the pom was changed on purpose, write new hashes",
        )
    fresh.replace(folder())


def differences(where: Path, listed: str) -> list[str]:
    """The names that are missing, too many, or have other contents than listed (`sha256sum` lines)."""
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in listed.splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in where.glob("*.jar")}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
