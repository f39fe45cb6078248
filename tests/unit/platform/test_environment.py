"""The environment is typed, complete and explained: a variable that nobody reads is an error."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.base import profile as profiles
from dev.config import gateway
from service_common.environment import Environment, InvalidEnvironment, read_environment, refuse_unknown_variables

ROOT = Path(__file__).resolve().parents[3]


def test_an_unknown_variable_with_our_prefix_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InvalidEnvironment, match=r"MUCKARD_LOG_LEVELS is unknown\. Did you mean MUCKARD_LOG_LEVEL"):
        refuse_unknown_variables(["PATH", "MUCKARD_LOG_LEVELS"])


def test_foreign_variables_are_none_of_our_business() -> None:
    refuse_unknown_variables(["PATH", "HOME", "DATABASE_URL"])


def test_a_malformed_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://x")
    with pytest.raises(InvalidEnvironment, match="DATABASE_URL is not valid"):
        read_environment("user")


def test_a_secret_may_be_a_file_of_its_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUCKARD_ENVIRONMENT", "production")
    monkeypatch.setenv("MUCKARD_SECRETS_DIR", str(tmp_path))
    for service, value in (("user", "private"), ("kraken", "vault")):
        (tmp_path / service).mkdir()
        (tmp_path / service / f"muckard_{'jwt_private_key' if service == 'user' else 'vault_key'}").write_text(value)

    kraken = read_environment("kraken")
    assert kraken.secret("vault_key", needed_for="the vault") == "vault"
    assert kraken.jwt_private_key is None, "a service must not see another one's secrets"


def test_a_secret_does_not_show_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUCKARD_SECRET_KEY", "very-secret")
    assert "very-secret" not in repr(read_environment("user"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MUCKARD_ENVIRONMENT": "production"}, "The secret MUCKARD_SECRET_KEY is missing"),
        ({"MUCKARD_ENVIRONMENT": "production", "MUCKARD_SECRET_KEY": "x"}, "MUCKARD_DB_PASSWORD_STAFF_SITE is missing"),
        ({"MUCKARD_ENVIRONMENT": "development", "MUCKARD_NONSENSE": "1"}, "MUCKARD_NONSENSE is unknown"),
        ({"MUCKARD_ENVIRONMENT": "staging"}, "MUCKARD_ENVIRONMENT is not valid"),
    ],
)
def test_a_process_ends_with_one_sentence(variables: dict[str, str], sentence: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MUCKARD_")}
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("field", sorted(Environment.model_fields))
def test_every_variable_is_documented(field: str) -> None:
    alias = Environment.model_fields[field].validation_alias
    variable = str(alias) if alias else f"MUCKARD_{field.upper()}"
    assert f"`{variable}`" in (ROOT / "docs" / "configuration.md").read_text()


def test_no_variable_is_documented_that_does_not_exist() -> None:
    documented = set(re.findall(r"`(MUCKARD_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    known = {f"MUCKARD_{field.upper()}" for field in Environment.model_fields}
    ports = {profiles.variable(name) for name in profiles.SERVER_PORTS | profiles.METRICS_PORTS}
    assert gateway.VARIABLES <= documented - known <= ports | gateway.VARIABLES
