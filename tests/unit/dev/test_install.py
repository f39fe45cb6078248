import subprocess
from pathlib import Path

import pytest

from dev.base.errors import StackError
from dev.install import installer
from dev.servers import postgres, rabbitmq
from dev.servers.kafka_jars import jars

SERVERS = frozenset({"postgres", "rabbitmq", "redis", "kafka"})


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if nothing were installed; no command that this would run is run."""
    monkeypatch.setattr(postgres, "PACKAGED", tmp_path / "postgresql")
    monkeypatch.setattr(rabbitmq, "PROGRAM", tmp_path / "rabbitmq-server")
    monkeypatch.setattr("dev.install.installer.shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("dev.install.installer.java.find", lambda: None)
    monkeypatch.setattr(installer, "PYTHON", tmp_path / "python")
    monkeypatch.setattr("dev.install.installer.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(jars, "TOOLS", tmp_path)


@pytest.mark.usefixtures("bare_machine")
def test_everything_that_a_bare_machine_lacks_is_listed() -> None:
    assert installer.missing_packages(SERVERS) == [
        "postgresql",
        "rabbitmq-server",
        "redis-server",
        "nginx",
        "openjdk-17-jre-headless",
        "maven",
        "python3-venv",
    ]


@pytest.mark.usefixtures("bare_machine")
def test_a_server_that_a_url_names_is_not_installed() -> None:
    assert installer.missing_packages(frozenset({"redis"})) == ["redis-server", "nginx", "python3-venv"]


@pytest.mark.usefixtures("bare_machine")
def test_a_browser_is_installed_for_tests_only() -> None:
    assert installer.BROWSER_PACKAGE not in installer.missing_packages(SERVERS)
    assert installer.BROWSER_PACKAGE in installer.missing_packages(SERVERS, with_browser=True)


def test_a_machine_that_has_all_lacks_nothing() -> None:
    assert installer.missing_packages(SERVERS) == []


def test_who_may_not_install_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dev.install.installer.os.geteuid", lambda: 1000)
    monkeypatch.setattr(
        "dev.install.installer.shutil.which", lambda name, **_: "/usr/bin/sudo" if name == "sudo" else None
    )
    refused: subprocess.CompletedProcess[bytes] = subprocess.CompletedProcess(["sudo"], 1)
    monkeypatch.setattr("dev.install.installer.subprocess.run", lambda *_, **__: refused)

    with pytest.raises(StackError) as refusal:
        installer._become_root(["postgresql", "maven"])

    assert refusal.value.cause == "Packages are missing and this user may not install them: postgresql, maven."
    assert "`sudo apt-get install --no-install-recommends postgresql maven`" in refusal.value.advice


def test_sudo_without_a_question_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dev.install.installer.os.geteuid", lambda: 1000)
    monkeypatch.setattr("dev.install.installer.shutil.which", lambda _: "/usr/bin/sudo")
    allowed: subprocess.CompletedProcess[bytes] = subprocess.CompletedProcess(["sudo"], 0)
    monkeypatch.setattr("dev.install.installer.subprocess.run", lambda *_, **__: allowed)

    assert installer._become_root(["maven"]) == ["sudo", "-n"]


def test_no_network_for_the_packages_is_one_sentence_and_the_end_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "apt.log"
    monkeypatch.setattr(installer, "APT_LOG", log)

    def fails(*_: object, **__: object) -> int:
        log.write_text("E: Failed to fetch http://deb.example/x  Could not resolve 'deb.example'\n")
        return 100

    monkeypatch.setattr("dev.install.installer.commands.run_logged", fails)

    with pytest.raises(StackError) as failure:
        installer._apt([], ["install", "nginx"], "apt-get could not install nginx.", may_be_interrupted=False)

    shown = failure.value.lines()
    assert shown[0] == "apt-get could not install nginx."
    assert "Could not resolve" in shown[2]
    assert shown[-1].startswith("What to do: check the network")


def test_no_network_for_kafka_is_one_sentence_and_leaves_no_half_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jars, "TOOLS", tmp_path)
    monkeypatch.setattr(jars, "LOG", tmp_path / "maven.log")
    monkeypatch.setattr("dev.servers.kafka_jars.jars.commands.run_logged", lambda *_, **__: 1)

    with pytest.raises(StackError, match=r"Maven could not fetch Kafka 4\.1\.1 from Maven Central"):
        jars.fetch("mvn", {})

    assert not jars.are_there()


def test_a_folder_that_somebody_else_put_in_place_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    postgres._refuse_foreign(tmp_path / "real")
    postgres._refuse_foreign(tmp_path / "not-there")

    with pytest.raises(StackError, match="belongs to somebody else"):
        postgres._refuse_foreign(tmp_path / "link")
    monkeypatch.setattr("dev.servers.postgres.os.geteuid", lambda: 4242)
    with pytest.raises(StackError, match="belongs to somebody else"):
        postgres._refuse_foreign(tmp_path / "real")
