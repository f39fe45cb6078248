"""Only an unchanged bundle verifies: a change of its files or of the zip structure is refused."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.audit import verify_bundle
from apps.audit.verify_bundle import BundleDoesNotVerify
from tests.factories import bundles

KEY, FORGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OLD_BUNDLES = Path(__file__).parents[2] / "integration" / "audit" / "bundles"

Files = dict[str, bytes]


@pytest.fixture(params=[2, 3])
def files(request: pytest.FixtureRequest) -> Files:
    return bundles.members(KEY, version=request.param)


def _refused(path: Path, match: str = ".", *, trusted: bytes | None = None) -> None:
    with pytest.raises(BundleDoesNotVerify, match=match):
        verify_bundle.verify_bundle(path, trusted)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return bundles.members(key)["public_key.pem"]


def _run(path: Path, *arguments: str | Path, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *flags, verify_bundle.__file__, path, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("without", [None, 0, 1, 2, 5, 11])
def test_a_bundle_verifies_and_says_what_was_counted(files: Files, without: int | None, tmp_path: Path) -> None:
    version = int(json.loads(files["manifest.json"])["format"][-1])
    files = bundles.members(KEY, version=version, without=without)

    found = verify_bundle.verify_bundle(bundles.write(tmp_path / "bundle.zip", files), _pem(KEY))
    assert found.events == found.leaves == (12 if without is None else 11)


@pytest.mark.parametrize(("name", "events", "sealed"), [("format-2.zip", 14, 13), ("format-2-gaps.zip", 3, 1)])
def test_bundles_that_were_exported_before_still_verify(name: str, events: int, sealed: int) -> None:
    found = verify_bundle.verify_bundle(OLD_BUNDLES / name)

    assert (found.events, found.leaves) == (events, sealed)


def _changed(files: Files, name: str, old: bytes, new: bytes) -> Files:
    assert old in files[name]
    return {**files, name: files[name].replace(old, new, 1)}


def _lines(files: Files) -> list[bytes]:
    return files["events.copy"].splitlines(keepends=True)


NAME = b'"name"'.hex().encode()
MAIL = b'"mail"'.hex().encode()


class TestWithoutTheKey:
    """Asserts that it is refused with the bundle's own key and with the trusted one."""

    CHANGES: dict[str, Callable[[Files], Files]] = {
        "a byte of a payload": lambda files: _changed(files, "events.copy", NAME, MAIL),
        "a line removed": lambda files: {**files, "events.copy": files["events.copy"].split(b"\n", 1)[1]},
        "a line twice": lambda files: {
            **files, "events.copy": files["events.copy"].split(b"\n", 1)[0] + b"\n" + files["events.copy"]
        },
        "the last event, and the manifest fitted": lambda files: {
            **_changed(files, "manifest.json", b'"events": 12', b'"events": 11'),
            "events.copy": b"".join(_lines(files)[:-1]),
        },
        "the signature": lambda files: {**files, "manifest.sig": bytes(64)},
        "an empty signature": lambda files: {**files, "manifest.sig": b""},
        "the filter in the manifest": lambda files: _changed(files, "manifest.json", b'{}', b'{"user_id":"x"}'),
        "the number of seals": lambda files: _changed(files, "manifest.json", b'"sealed": 12', b'"sealed": 13'),
        "the script": lambda files: {**files, "verify_bundle.py": b"print('VERIFIED')"},
        "the key": lambda files: {**files, "public_key.pem": _pem(FORGER)},
        "no key": lambda files: {**files, "public_key.pem": b"none"},
        "no manifest": lambda files: {**files, "manifest.json": b"[" * 100_000},
    }  # fmt: skip

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("trusted", [None, _pem(KEY)], ids=["own key", "trusted key"])
    def test_a_change_is_noticed(self, files: Files, change: str, trusted: bytes | None, tmp_path: Path) -> None:
        _refused(bundles.write(tmp_path / "bundle.zip", self.CHANGES[change](files)), trusted=trusted)

    def test_each_file_is_needed(self, files: Files, tmp_path: Path) -> None:
        for name in files:
            left = {other: content for other, content in files.items() if other != name}
            _refused(bundles.write(tmp_path / "bundle.zip", left), f"{name} is missing")

    def test_each_byte_of_each_file_counts(self, files: Files, tmp_path: Path) -> None:
        for name, content in files.items():
            for place in {0, len(content) // 2, len(content) - 1} & set(range(len(content))):
                changed = bytearray(content)
                changed[place] ^= 1
                _refused(bundles.write(tmp_path / "bundle.zip", {**files, name: bytes(changed)}))

    def test_a_flipped_bit_of_the_zip_file_is_noticed_or_changes_no_file(self, files: Files, tmp_path: Path) -> None:
        whole = bundles.write(tmp_path / "bundle.zip", files).read_bytes()
        path = tmp_path / "flipped.zip"
        for place in range(0, len(whole), 11):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            try:
                verify_bundle.verify_bundle(path)
            except BundleDoesNotVerify:
                continue
            with zipfile.ZipFile(path) as file:
                assert {name: file.read(name) for name in file.namelist()} == files

    @pytest.mark.parametrize("left", [0.0, 0.001, 0.01, 0.3, 0.9, 0.9999])
    def test_a_truncated_file_is_noticed(self, files: Files, left: float, tmp_path: Path) -> None:
        path = bundles.write(tmp_path / "bundle.zip", files)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * left)])
        _refused(path)


class TestAForgerWithAKeyOfTheirOwn:
    @pytest.fixture
    def forged(self, files: Files, tmp_path: Path) -> Path:
        """An event was removed, and everything else was fitted."""
        version = int(json.loads(files["manifest.json"])["format"][-1])
        return bundles.write(tmp_path / "bundle.zip", bundles.members(FORGER, version=version, without=5))

    def test_the_trusted_key_tells(self, forged: Path) -> None:
        _refused(forged, "signature", trusted=_pem(KEY))

    def test_without_it_the_script_says_that_the_bundle_vouches_for_itself(self, forged: Path) -> None:
        code, output, _ = _run(forged)

        assert code == 0
        assert output.startswith("VERIFIED BY ITS OWN KEY ONLY: 11 events, 11 of them sealed. ")
        assert "--public-key" in output

    @pytest.mark.parametrize("sealed", [12, 1039, -1, "many", None])
    def test_seals_are_counted_and_not_believed(self, sealed: object, tmp_path: Path) -> None:
        files = bundles.members(FORGER)
        empty = {"seals.tsv": b"", "proof.txt": b"", "checkpoint.txt": b""}
        path = bundles.write(tmp_path / "bundle.zip", bundles.resigned({**files, **empty}, FORGER, sealed=sealed))

        _refused(path, rf"promises {sealed} sealed, the bundle has 0\.")

    def test_seals_of_the_older_format_are_counted_too(self, tmp_path: Path) -> None:
        files = {**bundles.members(FORGER, version=2), "seals.json": b'{"note": "", "events": {}}'}
        path = bundles.write(tmp_path / "bundle.zip", bundles.resigned(files, FORGER))

        _refused(path, r"promises 12 sealed, the bundle has 0\.")


class TestWithTheKey:
    """Signed content must be consistent, too."""

    CHANGES: dict[str, tuple[Callable[[Files], Files], str]] = {
        "a payload": (lambda files: _changed(files, "events.copy", NAME, MAIL), "does not match its hash"),
        "an event left out": (
            lambda files: {**files, "events.copy": b"".join(_lines(files)[:-1])},
            "not of an event in the bundle",
        ),
        "an event twice": (
            lambda files: {**files, "events.copy": files["events.copy"].split(b"\n")[0] + b"\n" + files["events.copy"]},
            "twice, or not in its place",
        ),
        "aggregates swapped": (
            lambda files: {**files, "events.copy": b"".join(_lines(files)[4:] + _lines(files)[:4])},
            "twice, or not in its place",
        ),
        "a line without end": (lambda files: {**files, "events.copy": files["events.copy"][:-1]}, "middle of a line"),
        "a line of another kind": (lambda files: {**files, "events.copy": b"hello\n"}, "malformed"),
        "a very long line": (lambda files: {**files, "events.copy": bytes(3 * 2**20)}, "a line of more than 1 MiB"),
        "a number of events": (lambda files: files, "promises 13 events, the bundle has 12"),
        "a seal's place": (lambda files: _changed(files, "seals.tsv", b"\n1\t2\n", b"\n1\t3\n"), "signed checkpoint"),
        "a seal twice": (lambda files: _changed(files, "seals.tsv", b"\n1\t2\n", b"\n1\t2\n1\t2\n"), "1 is there"),
        "a seal of no event": (lambda files: _changed(files, "seals.tsv", b"\t12\n", b"\t13\n"), "not of an event"),
        "a seal of line 0": (lambda files: _changed(files, "seals.tsv", b"0\t1\n", b"0\t0\n"), "not of an event"),
        "a seal beyond the tree": (lambda files: _changed(files, "seals.tsv", b"11\t", b"99\t"), "a tree of 12"),
        "a seal left out": (lambda files: _changed(files, "seals.tsv", b"11\t12\n", b""), "lacks a node"),
        "a node too many": (lambda files: {**files, "proof.txt": b"00" * 32 + b"\n"}, "more than the seals need"),
        "a hash too many": (lambda files: {**files, "previous.tsv": b"2\t" + b"00" * 32 + b"\n"}, "not needed"),
        "a hash of no event": (lambda files: {**files, "previous.tsv": b"13\t" + b"00" * 32 + b"\n"}, "more than"),
        "another log": (
            lambda files: {**files, "checkpoint.txt": bundles.other_note(files, KEY, origin="other")}, "another log"
        ),
        "a forger's checkpoint": (
            lambda files: {**files, "checkpoint.txt": bundles.members(FORGER)["checkpoint.txt"]}, "signature"
        ),
        "no checkpoint": (lambda files: {**files, "checkpoint.txt": b""}, "a tree of 0"),
    }  # fmt: skip

    @pytest.mark.parametrize("change", CHANGES)
    def test_what_is_not_true_does_not_verify(self, change: str, tmp_path: Path) -> None:
        changed, sentence = self.CHANGES[change]
        told = {"events": 13} if change == "a number of events" else {}
        files = bundles.resigned(changed(bundles.members(KEY)), KEY, **told)

        _refused(bundles.write(tmp_path / "bundle.zip", files), sentence, trusted=_pem(KEY))

    @pytest.mark.parametrize("hash_before", [b"", b"00" * 32, b"none"])
    def test_the_hash_before_an_event_is_the_right_one(self, hash_before: bytes, tmp_path: Path) -> None:
        files = bundles.members(KEY, without=1)
        files["previous.tsv"] = b"2\t" + hash_before + b"\n"

        _refused(bundles.write(tmp_path / "bundle.zip", bundles.resigned(files, KEY)))

    def test_an_event_of_the_older_format_must_have_the_seal_that_it_is_said_to_have(self, tmp_path: Path) -> None:
        files = bundles.members(KEY, version=2)
        seals = json.loads(files["seals.json"])
        first, second = list(seals["events"])[:2]
        for changed in (
            {first: {**seals["events"][first], "index": 1}},
            {first: {**seals["events"][first], "index": -1}},
            {first: {**seals["events"][first], "index": 12}},
            {first: {**seals["events"][first], "proof": [*seals["events"][first]["proof"], "00" * 32]}},
            {first: {**seals["events"][first], "proof": []}},
            {first: seals["events"][second]},
            {"00000000-0000-0000-0000-000000000000": seals["events"][second]},
        ):
            text = json.dumps({**seals, "events": {**seals["events"], **changed}}).encode()
            _refused(bundles.write(tmp_path / "b.zip", bundles.resigned({**files, "seals.json": text}, KEY)))

    def test_a_bundle_of_a_format_to_come_is_left_to_its_own_script(self, files: Files, tmp_path: Path) -> None:
        files = bundles.resigned(files, KEY, format="muckard-audit-bundle/4")
        _refused(bundles.write(tmp_path / "bundle.zip", files), "use the script that lies in the bundle")


class TestTheScript:
    def test_a_trusted_key_is_said_to_have_verified(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(_pem(KEY))
        path = bundles.write(tmp_path / "bundle.zip", files)

        assert _run(path, "--public-key", tmp_path / "key.pem") == (
            0, "VERIFIED: 12 events, 12 of them sealed\n", ""
        )  # fmt: skip

    def test_what_is_wrong_is_one_sentence(self, files: Files, tmp_path: Path) -> None:
        path = bundles.write(tmp_path / "bundle.zip", {**files, "more": b""})

        assert _run(path) == (1, "", "NOT VERIFIED: 'more' does not belong to such a bundle.\n")

    @pytest.mark.parametrize("key", [b"", b"no key", _pem(KEY)[:60]])
    def test_a_file_that_is_no_key_is_said(self, files: Files, key: bytes, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_bytes(key)
        path = bundles.write(tmp_path / "bundle.zip", files)

        code, _, errors = _run(path, "--public-key", tmp_path / "key.pem")
        assert (code, errors) == (1, "NOT VERIFIED: The public key is not an Ed25519 key in a PEM file.\n")

    def test_a_file_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        code, _, errors = _run(tmp_path / "none.zip")

        assert code == 1
        assert errors.startswith("NOT VERIFIED: [Errno 2]")

    def test_without_the_package_it_says_how_to_get_it(self, files: Files, tmp_path: Path) -> None:
        path = bundles.write(tmp_path / "bundle.zip", files)

        # Without the packages of this environment.
        code, output, errors = _run(path, flags=("-S", "-E"))
        assert (code, output) == (1, "")
        assert errors.startswith(
            "NOT VERIFIED: nothing was checked, because the Python package `cryptography` is missing"
        )
        assert errors.count("\n") == 1
