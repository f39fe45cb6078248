import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from dev.base import secrets
from dev.base.errors import StackError
from dev.base.profile import Profile
from service_common.environment import Environment


@pytest.fixture
def profile(make_profile: Callable[..., Profile]) -> Profile:
    made = make_profile("run")
    secrets.create(made)
    return made


def contents(profile: Profile) -> dict[Path, str]:
    return {path: path.read_text() for path in sorted(profile.secrets.rglob("*")) if path.is_file()}


def test_making_them_again_changes_nothing(profile: Profile) -> None:
    before = contents(profile)

    secrets.create(profile)

    assert contents(profile) == before
    assert len(before) > 20


def test_one_that_is_gone_is_made_again_and_the_others_stay(profile: Profile) -> None:
    before = contents(profile)
    gone = profile.secrets / "user" / "muckard_secret_key"
    gone.unlink()

    secrets.create(profile)

    changed = {path for path, text in contents(profile).items() if before[path] != text}
    assert changed == {gone}


def test_a_shared_secret_is_the_same_in_each_folder_that_holds_it(profile: Profile) -> None:
    shared = [secrets.read(profile, folder, "muckard_vault_key") for folder in ("kraken", "bot")]

    assert shared[0] == shared[1]
    assert not (profile.secrets / "user" / "muckard_vault_key").exists()


def test_each_service_signs_with_a_key_of_its_own(profile: Profile) -> None:
    keys = {secrets.read(profile, service, "muckard_secret_key") for service in secrets.SERVICES}

    assert len(keys) == len(secrets.SERVICES)


def test_nobody_else_can_read_them(profile: Profile) -> None:
    files = list(contents(profile))

    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(profile.secrets.stat().st_mode) == 0o700


def test_the_private_half_stays_with_the_one_that_signs(profile: Profile) -> None:
    secrets.create_key_pairs(profile)

    token_key = load_pem_private_key(secrets.read(profile, "user", "muckard_jwt_private_key").encode(), None)
    audit_key = load_pem_private_key(secrets.read(profile, "staff", "muckard_audit_signing_key").encode(), None)
    assert isinstance(token_key, EllipticCurvePrivateKey)
    assert isinstance(audit_key, Ed25519PrivateKey)
    public = load_pem_public_key(secrets.read(profile, "common", "muckard_jwt_public_key").encode())
    assert public == token_key.public_key()
    assert "PRIVATE" not in "".join(path.read_text() for path in (profile.secrets / "common").iterdir())
    holders = {path.parent.name for path in profile.secrets.rglob("*jwt_private*")}
    assert holders == {"user"}
    of_services = {
        secrets.read(profile, service, "muckard_service_private_key"): service for service in secrets.SERVICES
    }
    assert len(of_services) == len(secrets.SERVICES)
    for private, service in of_services.items():
        known = secrets.read(profile, "common", f"muckard_service_public_key_{service}")
        assert load_pem_private_key(private.encode(), None).public_key() == load_pem_public_key(known.encode())


def test_every_secret_of_an_application_is_one_that_it_knows(profile: Profile) -> None:
    secrets.create_key_pairs(profile)
    known = {f"muckard_{name}" for name in Environment.model_fields}

    given = {path.name for service in ("common", *secrets.SERVICES) for path in (profile.secrets / service).iterdir()}

    assert given <= known


def test_a_missing_secret_is_said_by_its_file(make_profile: Callable[..., Profile]) -> None:
    with pytest.raises(StackError, match="secrets/servers/redis_password cannot be read"):
        secrets.read(make_profile("test"), "servers", "redis_password")
