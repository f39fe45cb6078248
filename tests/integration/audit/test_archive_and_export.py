"""Months move to files and stay provable; bundles verify without the database."""

import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit import bundle, services, verify_bundle
from apps.audit.archive import NotYetSealed, Partition, archive
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.verification import verify
from apps.audit.verify_bundle import BundleDoesNotVerify
from apps.events.catalogue.user import UserUpdated
from apps.events.models import StoredEvent
from apps.events.services import publish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def this_month() -> Partition:
    name = timezone.now().astimezone(UTC).strftime("event_%Y_%m")
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    return Partition(name, datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def test_an_unsealed_month_cannot_be_archived(users: list[UUID], this_month: Partition, tmp_path: Path) -> None:
    with pytest.raises(NotYetSealed):
        archive(this_month, folder=tmp_path, now=timezone.now())

    assert StoredEvent.objects.count() == 12
    assert ArchivedPartition.objects.count() == 0


def test_an_archived_month_leaves_the_table_and_still_verifies(
    sealed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = archive(this_month, folder=tmp_path, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    with transaction.atomic():
        publish(UserUpdated(user_id=sealed[0], changed=("name",)), now=timezone.now())

    verdict = verify(public_key=key.public_key(), archive_folder=tmp_path)
    assert (row.events, StoredEvent.objects.count(), verdict.events) == (12, 1, 13)
    assert verdict.divergences == []


def test_a_changed_archive_is_named(
    sealed: list[UUID], key: Ed25519PrivateKey, this_month: Partition, tmp_path: Path
) -> None:
    row = archive(this_month, folder=tmp_path, now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
    (tmp_path / row.file_name).unlink()

    first = verify(public_key=key.public_key(), archive_folder=tmp_path).divergences[0]
    assert (first.kind, first.aggregate) == ("archive", this_month.name)


def _export(key: Ed25519PrivateKey, path: Path, **filters: object) -> bundle.Exported:
    return bundle.export(filters=EventFilter(**filters), path=path, key=key, now=timezone.now())  # type: ignore[arg-type]


def test_a_bundle_verifies_by_its_own_script_without_the_database(
    sealed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    exported = _export(key, tmp_path / "bundle.zip", user_id=sealed[0])
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


@pytest.mark.parametrize("name", ["events.copy", "seals.json", "manifest.json"])
def test_one_changed_byte_in_a_bundle_is_found(
    sealed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path, name: str
) -> None:
    exported = _export(key, tmp_path / "bundle.zip")
    with zipfile.ZipFile(exported.path) as file:
        files = {member: file.read(member) for member in file.namelist()}
    changed = bytearray(files[name])
    changed[len(changed) // 2] ^= 1
    files[name] = bytes(changed)
    with zipfile.ZipFile(exported.path, "w") as file:
        for member, content in files.items():
            file.writestr(member, content)

    with pytest.raises(BundleDoesNotVerify):
        verify_bundle.verify_bundle(exported.path)


def test_a_bundle_of_a_forger_with_a_key_of_his_own_is_refused(
    sealed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    forged = _export(Ed25519PrivateKey.generate(), tmp_path / "forged.zip")
    genuine = _export(key, tmp_path / "genuine.zip")
    with zipfile.ZipFile(genuine.path) as file:
        trusted = file.read("public_key.pem")

    with pytest.raises(BundleDoesNotVerify, match="signature"):
        verify_bundle.verify_bundle(forged.path, trusted)


def test_the_manifest_says_what_was_asked_for(sealed: list[UUID], key: Ed25519PrivateKey, tmp_path: Path) -> None:
    exported = _export(key, tmp_path / "bundle.zip", aggregate_type="user", aggregate_id=sealed[1])
    with zipfile.ZipFile(exported.path) as file:
        manifest = json.loads(file.read("manifest.json"))

    assert manifest["filters"] == {"aggregate_type": "user", "aggregate_id": str(sealed[1])}
    assert (manifest["events"], manifest["sealed"]) == (4, 4)


def test_an_event_that_waits_for_its_seal_is_exported_as_unsealed(
    users: list[UUID], key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    services.seal(key=key, now=timezone.now())
    with transaction.atomic():
        publish(UserUpdated(user_id=users[0], changed=("name",)), now=timezone.now())

    exported = _export(key, tmp_path / "bundle.zip", user_id=users[0])
    assert (exported.events, exported.sealed) == (5, 4)
