"""Bundles verify without the database."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from django.utils import timezone

from apps.audit import bundle, services, verify_bundle
from apps.audit.filters import EventFilter
from apps.audit.verify_bundle import BundleDoesNotVerify
from apps.events.catalogue.user import UserUpdated
from apps.events.services import publish

pytestmark = pytest.mark.django_db(transaction=True)


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
