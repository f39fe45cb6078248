"""Looks for secrets in every file that git knows, by detect-secrets.

`python -m dev.install.secret_scan` compares what it finds with requirements/known_secrets.toml, which says of each
finding why it is none. `--list` prints new findings as lines for that file.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

# `scan_file` would take a minute of a processor for all files: it tries 27 detectors at every line. What one line
# holds is asked of the same detectors and filters, for the lines that can hold anything (MAY_HOLD).
from detect_secrets.core.scan import _process_line_based_plugins
from detect_secrets.settings import default_settings

from dev.base.profile import ROOT
from dev.base.progress import say

KNOWN = ROOT / "requirements" / "known_secrets.toml"

# Words of the keyword detector, credentials in an address, headers of private keys, and any run of characters that is
# long enough for a token and has a digit.
MAY_HOLD = re.compile(
    r"key|pass|pwd|secret|token|contrase|://[^/\s]*:[^/\s]*@|-----BEGIN|(?=[\w+/=.:-]*\d)[\w+/=.:-]{16}", re.IGNORECASE
)


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    kind: str
    digest: str

    @property
    def entry(self) -> str:
        """As it stands in the file of known ones: the line may move."""
        return f"{self.path}: {self.digest}"


@dataclass(frozen=True)
class Known:
    """`skipped` has pairs of a pattern of paths and a kind of finding; without a kind the files are not read."""

    skipped: tuple[tuple[str, str | None], ...]
    entries: frozenset[str]

    def reads(self, name: str) -> bool:
        return not any(kind is None and fnmatch(name, pattern) for pattern, kind in self.skipped)

    def takes(self, finding: Finding) -> bool:
        return not any(kind == finding.kind and fnmatch(finding.path, pattern) for pattern, kind in self.skipped)


class Unexplained(Exception):
    """The file of known secrets has entries without a reason."""


def known(path: Path = KNOWN) -> Known:
    read = tomllib.loads(path.read_text())
    groups = [*read.get("skipped", []), *read.get("known", [])]
    if not all(str(group.get("why", "")).strip() for group in groups):
        raise Unexplained(f"Each entry of {path.name} needs its reason (why).")
    return Known(
        tuple(
            (pattern, kind)
            for group in read.get("skipped", [])
            for pattern in group["files"]
            for kind in group.get("kinds", [None])
        ),
        frozenset(entry for group in read.get("known", []) for entry in group["secrets"]),
    )


def tracked(root: Path = ROOT) -> list[str]:
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=root, capture_output=True, check=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def scan(names: Iterable[str], root: Path = ROOT) -> Iterator[Finding]:
    with default_settings():
        for name in names:
            try:
                lines = (root / name).read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:  # not text
                continue
            for number, line in enumerate(lines, start=1):
                if MAY_HOLD.search(line):
                    for secret in _process_line_based_plugins([(1, line)], name):
                        yield Finding(name, number, secret.type, secret.secret_hash[:16])


def main(arguments: list[str]) -> int:
    try:
        explained = known()
    except Unexplained as error:
        say(str(error))
        return 1
    found = sorted(set(filter(explained.takes, scan(filter(explained.reads, tracked())))))
    new = [finding for finding in found if finding.entry not in explained.entries]
    gone = explained.entries - {finding.entry for finding in found}
    for finding in new:
        say(f'  "{finding.entry}",' if "--list" in arguments else f"{finding.path}:{finding.line}: {finding.kind}")
    if new and "--list" not in arguments:
        say(
            f"Take a real secret out, and consider it known to others. What is none gets a line in {KNOWN.name} with "
            "its reason: `python -m dev.install.secret_scan --list` prints the lines."
        )
    for entry in sorted(gone):
        say(f"Not there any more, take it out of {KNOWN.name}: {entry}")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
