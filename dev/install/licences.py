"""Compares the licences of all installed packages with the list in pyproject.toml ([tool.muckard.licences]).

`python -m dev.install.licences`. Licences are read by pip-licenses from the packages' own metadata: no network.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.base.profile import ROOT
from dev.base.progress import say
from dev.install.installer import VENV


@dataclass(frozen=True)
class Allowed:
    """`exceptions`: packages with another licence, each with the reason why that is all right."""

    licences: frozenset[str]
    exceptions: Mapping[str, str]


def allowed(pyproject: Path = ROOT / "pyproject.toml") -> Allowed:
    read = tomllib.loads(pyproject.read_text())["tool"]["muckard"]["licences"]
    return Allowed(frozenset(read["allowed"]), read["exceptions"])


def problems(packages: Iterable[tuple[str, str]], rules: Allowed) -> list[str]:
    """What is wrong with pairs of name and licence: not allowed, or an exception that no package needs."""
    refused = {name: licence for name, licence in packages if not passes(licence, rules.licences)}
    return [
        *(f"{name}: {licence}" for name, licence in sorted(refused.items()) if name not in rules.exceptions),
        *(f"{name} needs no exception any more" for name in sorted(rules.exceptions) if name not in refused),
    ]


def passes(licence: str, allowed: frozenset[str]) -> bool:
    """Of `A OR B` one must be allowed, of `A AND B` both. With semicolons, all must be."""
    if licence in allowed:  # some names have parentheses
        return True
    parts = re.split(r" AND |;", re.sub(r"\((?=\S+ OR )|(?<=\S)\)$", "", licence))
    return all(any(each.strip() in allowed for each in part.split(" OR ")) for part in parts)


def installed() -> list[tuple[str, str]]:
    command = (str(VENV / "bin" / "pip-licenses"), "--format=json", "--from=mixed", "--with-system")
    listed = subprocess.run(command, capture_output=True, check=True, text=True)
    return [(each["Name"].lower(), each["License"]) for each in json.loads(listed.stdout)]


def main() -> int:
    found = problems(installed(), allowed())
    for problem in found:
        say(problem)
    if found:
        say("A licence that suits the project's (Apache-2.0) goes into [tool.muckard.licences] of pyproject.toml.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
