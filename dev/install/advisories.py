"""Asks for known vulnerabilities of the pinned packages, by pip-audit, where an advisory database can be reached.

`python -m dev.install.advisories`. PyPI's database is asked first, then OSV's. A mirror of PyPI serves packages without
advisories, and pip-audit then skips every package and passes; so one package is asked for first.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

import requests

from dev.base.profile import ROOT
from dev.base.progress import say
from dev.install.installer import VENV

PINNED = ROOT / "requirements" / "dev.txt"  # has all of base.txt
PROBE_SECONDS = 5
FIXED_IN_LATER_ONES = ("django", "3.2.0")


def database() -> str | None:
    """The first database that knows the vulnerabilities of an old release, by pip-audit's name of it."""
    name, version = FIXED_IN_LATER_ONES
    if _answer("GET", f"https://pypi.org/pypi/{name}/{version}/json", "vulnerabilities"):
        return "pypi"
    asked = {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
    return "osv" if _answer("POST", "https://api.osv.dev/v1/query", "vulns", asked) else None


def _answer(method: str, url: str, key: str, body: object = None) -> bool:
    try:
        answer = requests.request(method, url, json=body, timeout=PROBE_SECONDS)
        return answer.ok and bool(answer.json().get(key))
    except (requests.RequestException, ValueError):
        return False


def audit(service: str) -> subprocess.CompletedProcess[str]:
    command = (str(VENV / "bin" / "pip-audit"), "--vulnerability-service", service, "--format", "json", "--no-deps")
    arguments = ("--disable-pip", "--progress-spinner", "off", "--requirement", str(PINNED))
    return subprocess.run((*command, *arguments), capture_output=True, check=False, text=True)


def findings(report: str) -> Iterator[str]:
    """One line for each vulnerability, and for each package that was not looked at."""
    for package in json.loads(report)["dependencies"]:
        if "skip_reason" in package:
            yield f"{package['name']}: {package['skip_reason']}"
        for each in package.get("vulns", []):
            fixed = ", ".join(each["fix_versions"]) or "none yet"
            yield f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}"


def main() -> int:
    service = database()
    if service is None:
        say("No advisory database can be reached (PyPI's, OSV's): known vulnerabilities were not looked for.")
        return 0
    done = audit(service)
    try:
        found = list(findings(done.stdout))
    except ValueError:  # it failed before its report
        say(f"pip-audit failed: {done.stderr.strip()}")
        return 1
    for line in found:
        say(line)
    if found:
        say("`make lock` pins the newest versions.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
