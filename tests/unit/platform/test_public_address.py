"""Hosts, cookies and origins of forms follow from MUCKARD_PUBLIC_URL; production settings pass Django's own check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.base import secrets
from dev.base.profile import PORTS, ROOT, Profile
from service_common.environment import InvalidEnvironment, environment
from service_common.settings.public_address import public_address

SERVICES = ("user", "kraken", "bot", "staff", "paper")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a new installation behind https://trade.example.com."""
    made = Profile(name="production", ports=PORTS, home=tmp_path_factory.mktemp("production"))
    made.create()
    secrets.create(made)
    secrets.create_key_pairs(made)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MUCKARD_")}
    return kept | {
        "MUCKARD_ENVIRONMENT": "production",
        "MUCKARD_SECRETS_DIR": str(made.secrets),
        "MUCKARD_PUBLIC_URL": "https://trade.example.com",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
    }


@pytest.mark.parametrize("service", SERVICES)
def test_production_settings_pass_the_deployment_check(service: str, production: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    # Started by name: DJANGO_SETTINGS_MODULE of the test run would take the place of the service's own.
    given = {name: text for name, text in production.items() if name != "DJANGO_SETTINGS_MODULE"}

    done = subprocess.run(
        command, cwd=Path(ROOT), env=given | {"SERVICE": service}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_cookies_are_bound_to_the_host_behind_https() -> None:
    given = environment("staff").model_copy(update={"public_url": "https://trade.example.com"})

    settings = public_address(given, has_cookies=True)

    assert settings["SESSION_COOKIE_NAME"] == "__Host-sessionid"
    assert settings["CSRF_COOKIE_NAME"] == "__Host-csrftoken"
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["https://trade.example.com"]
    assert "trade.example.com" in settings["ALLOWED_HOSTS"]


def test_without_https_no_cookie_asks_for_it() -> None:
    given = environment("staff").model_copy(update={"public_url": "http://localhost:8080"})

    settings = public_address(given, has_cookies=True)

    assert "SESSION_COOKIE_NAME" not in settings
    assert "SESSION_COOKIE_SECURE" not in settings
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["http://localhost:8080"]


@pytest.mark.parametrize("url", ["trade.example.com", "https://", "https://trade.example.com/api", "ftp://x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    given = environment("staff").model_copy(update={"public_url": url})

    with pytest.raises(InvalidEnvironment, match="MUCKARD_PUBLIC_URL"):
        public_address(given, has_cookies=True)
