"""Accounts of every role and machine keys of every scope, in the database of the running platform.

Run as a program with the environment of a profile; prints them as JSON. `members` runs it and reads that.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import UUID

# None that an example in the documents has: who sends those would change it.
PASSWORD = "four quiet owls on a fence"
ROOT = Path(__file__).resolve().parents[2]
SCOPES = ("read", "trade:paper", "trade:live")
NO_ROLE = "no role"


@dataclass(frozen=True)
class Members:
    """E-mail addresses by role; keys by scope, each of a trader of its own. Every password is PASSWORD."""

    emails: dict[str, str] = field(default_factory=dict)
    machine_keys: dict[str, str] = field(default_factory=dict)


@cache
def members() -> Members:
    """Made once in a run of the tests."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.members"],
        cwd=ROOT, env={**os.environ, "MUCKARD_ENVIRONMENT": "development", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return Members(**json.loads(result.stdout))


def _make() -> Members:
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from apps.accounts.models import User
    from apps.accounts.services.machine_keys import machine_key_create
    from apps.core.identity.assurance import Assurance
    from apps.core.identity.principal import Role
    from apps.core.ids import new_id

    now, hashed, made = timezone.now(), make_password(PASSWORD), Members()

    def account(*roles: str) -> tuple[str, UUID]:
        identity = new_id()
        email = f"{identity.hex}@example.com"
        User.objects.create(
            id=identity, email=email, password=hashed, roles=list(roles), created_at=now, email_verified_at=now
        )
        return email, identity

    for role in Role:
        if role is not Role.SERVICE:
            made.emails[role], _ = account(role)
    made.emails[NO_ROLE], _ = account()
    for scope in SCOPES:
        _, owner = account(Role.TRADER)
        assurance = Assurance(has_verified_email=True, has_mfa=True, stepped_up_at=now)
        made.machine_keys[scope] = machine_key_create(
            user_id=owner, name="script", scopes=(scope,), networks=(), expires_at=None, assurance=assurance, now=now
        ).key
    return made


if __name__ == "__main__":
    os.environ |= {"SERVICE": "staff", "MUCKARD_DB_ROLE": "owner", "DJANGO_SETTINGS_MODULE": "staff_site.settings"}
    import django

    django.setup()
    print(json.dumps(vars(_make())))
