"""Bundles verify without the database, have every matching event, and are recorded in the audit log."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.audit import bundle, verify_bundle
from apps.audit.bundle_contents import NothingToExport, StoreDoesNotVerify
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition, Leaf, SignedCheckpoint
from apps.audit.read_archive import ArchiveMissing
from apps.audit.verify_bundle import BundleDoesNotVerify
from apps.audit.write_archive import Partition, write_archive
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.integration.audit.conftest import checkpoint_all
from tests.support.database_roles import as_role

pytestmark = pytest.mark.django_db(transaction=True)


def _export(key: Ed25519PrivateKey, path: Path, *, archive_folder: Path | None = None, **filters: Any) -> bundle.Export:
    return bundle.export(
        filters=EventFilter(**filters),
        path=path,
        key=key,
        operator="ada",
        now=timezone.now(),
        archive_folder=archive_folder,
    )


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def _rewrite(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)


def _sign_anew(files: dict[str, bytes], key: Ed25519PrivateKey, **manifest: Any) -> dict[str, bytes]:
    """A forgery of a bundle by an attacker who has the platform's key."""
    told = json.loads(files["manifest.json"]) | manifest
    told["files"] = {name: hashlib.sha256(files[name]).hexdigest() for name in told["files"]}
    content = json.dumps(told).encode()
    return {**files, "manifest.json": content, "manifest.sig": key.sign(content)}


def _exports() -> list[dict[str, Any]]:
    rows = StoredEvent.objects.filter(event_type="audit.exported").order_by("recorded_at")
    return [json.loads(bytes(row.payload)) for row in rows]


def _publish_one(user_id: UUID) -> datetime:
    now = timezone.now()
    with transaction.atomic():
        publish(UserUpdated(user_id=user_id, changed=("name",)), now=now)
    return now


def test_a_bundle_verifies_by_its_own_script_without_the_database(
    checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    exported = _export(key, tmp_path / "bundle.zip", user_id=checkpointed[0])
    with zipfile.ZipFile(exported.path) as file:
        file.extractall(tmp_path / "out")

    result = subprocess.run(
        [sys.executable, "verify_bundle.py", "../bundle.zip", "--public-key", "public_key.pem"],
        cwd=tmp_path / "out",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.returncode) == ("VERIFIED: 4 events, 4 of them sealed\n", 0)


@pytest.mark.parametrize("name", ["events.copy", "seals.tsv", "checkpoint.txt", "manifest.json"])
def test_one_changed_byte_in_a_bundle_is_found(
    checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path, name: str
) -> None:
    exported = _export(key, tmp_path / "bundle.zip")
    files = _members(exported.path)
    changed = bytearray(files[name])
    changed[len(changed) // 2] ^= 1
    _rewrite(exported.path, {**files, name: bytes(changed)})

    with pytest.raises(BundleDoesNotVerify):
        verify_bundle.verify_bundle(exported.path)


def test_a_bundle_of_a_forger_with_a_key_of_his_own_is_refused(
    checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    trusted = _members(_export(key, tmp_path / "genuine.zip").path)["public_key.pem"]
    Leaf.objects.all().delete()
    SignedCheckpoint.objects.all().delete()
    forger = Ed25519PrivateKey.generate()
    checkpoint_all(forger)
    forged = _export(forger, tmp_path / "forged.zip")

    with pytest.raises(BundleDoesNotVerify, match="signature"):
        verify_bundle.verify_bundle(forged.path, trusted)


def test_the_manifest_says_what_was_asked_for(checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path) -> None:
    exported = _export(key, tmp_path / "bundle.zip", aggregate_type="user", aggregate_id=checkpointed[1])
    manifest = json.loads(_members(exported.path)["manifest.json"])

    assert manifest["filters"] == {"aggregate_type": "user", "aggregate_id": str(checkpointed[1])}
    assert (manifest["events"], manifest["sealed"]) == (4, 4)


def test_an_event_that_waits_for_its_seal_is_exported_as_unsealed(
    users: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    checkpoint_all(key)
    _publish_one(users[0])

    exported = _export(key, tmp_path / "bundle.zip", user_id=users[0])
    assert (exported.events, exported.leaves) == (5, 4)


def test_the_payload_of_an_event_whose_predecessor_does_not_fit_is_tied_to_its_seal(
    users: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    since = _publish_one(users[0])
    checkpoint_all(key)
    exported = _export(key, tmp_path / "bundle.zip", user_id=users[0], since=since)
    assert (exported.events, exported.leaves) == (1, 1)
    files = _members(exported.path)
    payload, forged = b'["name"]'.hex().encode(), b'["mail"]'.hex().encode()
    assert payload in files["events.copy"]

    files["events.copy"] = files["events.copy"].replace(payload, forged)
    _rewrite(exported.path, _sign_anew(files, key))
    with pytest.raises(BundleDoesNotVerify, match=f"user/{users[0]} #5 does not match its hash"):
        verify_bundle.verify_bundle(exported.path)


def test_an_event_without_the_hash_before_it_does_not_verify(
    users: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    since = _publish_one(users[0])
    exported = _export(key, tmp_path / "bundle.zip", since=since)
    files = {**_members(exported.path), "previous.tsv": b""}

    _rewrite(exported.path, _sign_anew(files, key))
    with pytest.raises(BundleDoesNotVerify, match="lacks the hash before user/"):
        verify_bundle.verify_bundle(exported.path)


def test_a_bundle_of_another_format_is_left_to_its_own_script(
    checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    exported = _export(key, tmp_path / "bundle.zip")
    _rewrite(exported.path, _sign_anew(_members(exported.path), key, format="muckard-audit-bundle/1"))

    with pytest.raises(BundleDoesNotVerify, match="use the script that lies in the bundle"):
        verify_bundle.verify_bundle(exported.path)


class TestArchivedMonths:
    @pytest.fixture
    def since(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
    ) -> datetime:
        """All events so far are archived; one more, which occurs now, is not."""
        write_archive(this_month, folder=tmp_path, now=timezone.now())
        with connection.cursor() as cursor:
            cursor.execute("SELECT events.ensure_partitions()")
        since = _publish_one(checkpointed[0])
        checkpoint_all(key)
        return since

    def test_they_are_in_the_bundle(
        self, since: datetime, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        exported = _export(key, tmp_path / "bundle.zip", archive_folder=tmp_path, user_id=checkpointed[0])

        assert (exported.events, exported.leaves) == (5, 5)
        assert _members(exported.path)["previous.tsv"] == b""

    def test_without_their_folder_nothing_is_exported(
        self, since: datetime, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        with pytest.raises(ArchiveMissing, match="--archive"):
            _export(key, tmp_path / "bundle.zip", user_id=checkpointed[0])
        assert not (tmp_path / "bundle.zip").exists()
        assert _exports() == []

    def test_the_hash_before_the_first_event_comes_from_them(
        self, since: datetime, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        ArchivedPartition.objects.update(ends_at=datetime(2020, 2, 1, tzinfo=UTC))
        exported = _export(key, tmp_path / "bundle.zip", archive_folder=tmp_path, since=since)

        assert (exported.events, exported.leaves) == (1, 1)
        assert _members(exported.path)["previous.tsv"].startswith(b"1\t")


class TestOnRecord:
    def test_an_export_is_an_event_with_the_digest_of_its_file(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        exported = _export(key, tmp_path / "bundle.zip", user_id=checkpointed[0])

        [record] = _exports()
        assert (record["operator"], record["events"]) == ("ada", 4)
        assert record["filters"] == {"user_id": str(checkpointed[0])}
        assert record["sha256"] == exported.sha256 == hashlib.sha256(exported.path.read_bytes()).hexdigest()

    def test_there_is_no_bundle_where_the_event_could_not_be_published(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise OperationalError("the server is gone")

        monkeypatch.setattr(bundle, "publish", refuse)
        with pytest.raises(OperationalError):
            _export(key, tmp_path / "bundle.zip")
        assert list(tmp_path.iterdir()) == []

    def test_only_the_owner_may_read_the_bundle_and_it_replaces_an_older_one(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        path = tmp_path / "bundle.zip"
        path.write_text("an older one")
        _export(key, path)

        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [path]
        assert verify_bundle.verify_bundle(path).events == 12

    def test_nothing_that_fits_is_no_export(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
    ) -> None:
        with pytest.raises(NothingToExport):
            _export(key, tmp_path / "bundle.zip", event_types=("user.created",))
        assert _exports() == []

    def test_the_staff_site_s_login_may_export(self, users: list[UUID], tmp_path: Path) -> None:
        out = io.StringIO()
        with as_role("staff_site"):
            call_command("audit_export", output=tmp_path / "bundle.zip", operator="ada", stdout=out)

        digest = hashlib.sha256((tmp_path / "bundle.zip").read_bytes()).hexdigest()
        assert out.getvalue() == (f"Wrote {tmp_path}/bundle.zip: 12 events, 0 of them sealed. SHA-256 {digest}.\n")
        assert [record["sha256"] for record in _exports()] == [digest]

    def test_a_folder_that_is_not_there_is_said(self, users: list[UUID], tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="The bundle could not be written"):
            call_command("audit_export", output=tmp_path / "missing" / "bundle.zip", stdout=io.StringIO())
        assert _exports() == []


@pytest.mark.usefixtures("_as_superuser")
class TestTamperedStore:
    @pytest.mark.parametrize(
        ("statement", "sentence"),
        [
            ("UPDATE events.event SET payload = 'forged' WHERE aggregate_seq = 2", "#2 does not match its hash"),
            ("DELETE FROM events.event WHERE aggregate_seq = 2", "#2 is missing"),
            (
                "UPDATE audit.audit_leaf SET event_hash = sha256('') WHERE seal_no = 3",
                "are not those of the signed checkpoint",
            ),
            ("DELETE FROM audit.audit_leaf WHERE seal_no = 11", "are not those of the signed checkpoint"),
        ],
    )
    def test_nothing_is_exported_that_would_not_verify(
        self, checkpointed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path, statement: str, sentence: str
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

        with pytest.raises(StoreDoesNotVerify, match=f"{sentence}.* see `manage.py audit_verify`"):
            _export(key, tmp_path / "bundle.zip")
        assert list(tmp_path.iterdir()) == []
        assert _exports() == []
