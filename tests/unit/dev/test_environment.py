from collections.abc import Callable
from pathlib import Path

import pytest

from dev.base import secrets
from dev.base.errors import StackError
from dev.base.profile import Profile
from dev.config import environment
from service_common.environment import Environment, refuse_unknown_variables

Make = Callable[..., Profile]


@pytest.fixture
def profile(make_profile: Make) -> Profile:
    made = make_profile("run")
    secrets.create(made)
    return made


def test_a_typo_in_a_setting_is_refused_with_the_right_name() -> None:
    with pytest.raises(StackError) as refusal:
        environment.refuse_unknown({"MUCKARD_GATEWAY_PROT": "1", "PATH": "/bin"})

    assert refusal.value.lines() == [
        "The environment variable MUCKARD_GATEWAY_PROT is unknown.",
        "What to do: did you mean MUCKARD_GATEWAY_PORT?",
    ]


def test_the_starter_knows_every_variable_that_the_applications_read() -> None:
    fields = [name for name, field in Environment.model_fields.items() if not field.validation_alias]

    assert {f"MUCKARD_{name.upper()}" for name in fields} <= environment.known_variables()


def test_a_server_is_local_unless_a_url_names_another(profile: Profile) -> None:
    found = environment.addresses(profile, {"REDIS_URL": "redis://cache.example:6379/0"})

    assert not found["redis"].is_local
    assert found["redis"].url == "redis://cache.example:6379/0"
    assert [name for name, address in found.items() if address.is_local] == ["postgres", "rabbitmq", "kafka"]


def test_the_urls_that_env_printed_still_mean_our_own_servers(profile: Profile) -> None:
    printed = environment.contract(profile, {})

    assert all(address.is_local for address in environment.addresses(profile, printed).values())


def test_processes_get_the_contract_and_nothing_that_they_would_refuse(profile: Profile) -> None:
    given = environment.for_processes(
        profile, {"PATH": "/bin", "MUCKARD_KAFKA_PORT": "19092", "MUCKARD_CORS_ORIGINS": "https://a.example"}
    )

    refuse_unknown_variables(list(given))
    assert given["PATH"] == "/bin"
    assert given["MUCKARD_SECRETS_DIR"] == str(profile.secrets)
    assert given["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:19092"
    assert given["MUCKARD_GATEWAY_PORT"] == "8080"


def test_the_project_that_a_shell_names_is_not_that_of_the_processes(profile: Profile) -> None:
    given = environment.for_processes(profile, {"DJANGO_SETTINGS_MODULE": "staff_site.settings"})

    assert "DJANGO_SETTINGS_MODULE" not in given


def test_an_address_is_shown_without_its_log_in() -> None:
    assert environment.where("amqp://muckard:secret@127.0.0.1:15672/muckard") == "127.0.0.1:15672"
    assert environment.where("a.example:9092,b.example:9092") == "a.example:9092,b.example:9092"


def test_market_data_named_by_a_link_keeps_the_link_s_name(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a1b2c3").touch()
    (tmp_path / "ETHUSD_60.csv").symlink_to(tmp_path / "a1b2c3")
    monkeypatch.chdir(tmp_path)

    assert environment.contract(profile, {"MARKET_DATA": "ETHUSD_60.csv"})["MARKET_DATA"] == str(
        tmp_path / "ETHUSD_60.csv"
    )
