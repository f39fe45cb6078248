"""What `make check` asks of packages and files: secrets, licences, advisories."""

import base64
import json
import os
from pathlib import Path

import pytest

from dev.install import advisories, licences, secret_scan

TOKEN = base64.b64encode(bytes(range(200, 230))).decode()

# In pieces, so that these lines hold no secret themselves.
PLANTED = {
    "aws": "AKIA" + "IOSFODNN7EXAMPL3",
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "address": "amqp://shop" + ":" + "hunter2hunter2@queue.example.com/",
    "keyword": "api_" + 'key = "Gx0aZ93kslq"',
    "jwt": 'x = "eyJhbGciOiJIUzI1NiJ9.' + "eyJzdWIiOiIxMjM0In0." + 'dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"',
    "random": f'value = "{TOKEN}"',
    "github": "ghp_" + "".join(f"{number:x}{chr(71 + number % 19)}" for number in range(3, 21)),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_secret_in_any_file_is_found(tmp_path: Path, kind: str) -> None:
    (tmp_path / "notes.py").write_text(f"first = 1\n{PLANTED[kind]}\n")
    found = list(secret_scan.scan(["notes.py"], tmp_path))
    assert {finding.line for finding in found} == {2}


def test_a_known_finding_is_known_on_any_line_and_another_value_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f'value = "{TOKEN}"\n')
    (one,) = secret_scan.scan(["a.py"], tmp_path)
    (tmp_path / "a.py").write_text(f'\n\nvalue = "{TOKEN}"\nother = "{TOKEN[::-1]}"\n')
    entries = {finding.entry for finding in secret_scan.scan(["a.py"], tmp_path)}
    assert one.entry in entries
    assert len(entries) == 2


def test_a_known_secret_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text('[[known]]\nwhy = " "\nsecrets = ["a.py: 12"]\n')
    with pytest.raises(secret_scan.Unexplained):
        secret_scan.known(tmp_path / "known.toml")


def test_binary_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(os.urandom(4096) + b"\xff\xfe")
    assert list(secret_scan.scan(["a.png"], tmp_path)) == []


RULES = licences.Allowed(frozenset({"MIT", "Apache-2.0", "MPL-2.0"}), {"drivers": "a library, unchanged"})


@pytest.mark.parametrize(
    ("licence", "passes"),
    [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("MIT AND GPL-3.0", False),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0)", True),
        ("MIT; GPL-3.0", False),
        ("UNKNOWN", False),
    ],
)
def test_of_alternatives_one_must_be_allowed_and_of_parts_all(licence: str, passes: bool) -> None:
    assert licences.passes(licence, RULES.licences) is passes


def test_another_licence_needs_an_exception_and_an_exception_needs_a_package() -> None:
    assert licences.problems([("a", "MIT"), ("b", "AGPL-3.0"), ("drivers", "LGPL")], RULES) == ["b: AGPL-3.0"]
    assert licences.problems([("drivers", "MIT")], RULES) == ["drivers needs no exception any more"]


def test_a_mirror_without_advisories_is_no_advisory_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisories, "_answer", lambda *_: False)
    assert advisories.database() is None


def test_vulnerabilities_and_packages_that_were_not_looked_at_are_named() -> None:
    report = {
        "dependencies": [
            {"name": "fine", "version": "1", "vulns": []},
            {"name": "old", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
            {"name": "unseen", "skip_reason": "not found"},
        ]
    }
    assert list(advisories.findings(json.dumps(report))) == ["old 1: CVE-1, fixed in 2", "unseen: not found"]
