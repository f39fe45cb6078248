"""Worker processes and threads of a web process."""

from pathlib import Path

import pytest

from apps.core.process_table import PROCESSES
from service_common.environment import InvalidEnvironment, read_environment
from service_common.web_size import available_cores, per_process, web_size

WEB = [process for process in PROCESSES.values() if process.kind == "web"]


@pytest.mark.parametrize(
    ("name", "workers", "connections", "cores", "size"),
    [
        ("kraken", "", "32", 1, (1, 16)),
        ("kraken", "", "32", 2, (2, 16)),
        ("kraken", "", "32", 8, (8, 4)),
        ("kraken", "", "32", 64, (32, 1)),
        ("kraken", "", "32,kraken=64", 4, (4, 16)),
        ("kraken", "1", "32", 8, (1, 16)),
        ("kraken", "1,kraken=3", "32", 8, (3, 10)),
        ("user", "kraken=3", "32", 4, (4, 8)),
        ("kraken", "100", "10", 2, (10, 1)),
        # What is asked little does not follow the cores.
        ("bot", "", "32", 8, (1, 4)),
        ("staff", "staff=2", "32", 8, (2, 8)),
    ],
)
def test_workers_follow_the_cores_and_the_setting_within_the_connections(
    name: str, workers: str, connections: str, cores: int, size: tuple[int, int]
) -> None:
    assert web_size(PROCESSES[name], workers=workers, connections=connections, cores=cores) == size


@pytest.mark.parametrize("cores", [1, 2, 3, 5, 8, 13, 200])
@pytest.mark.parametrize("connections", [1, 7, 32])
def test_there_are_never_more_threads_than_connections(cores: int, connections: int) -> None:
    for process in WEB:
        workers, threads = web_size(process, workers="", connections=str(connections), cores=cores)
        assert 1 <= workers * threads <= connections


@pytest.mark.parametrize("setting", ["none", "0", "-1", "user=", "user=x", "1.5", "user:2"])
def test_a_setting_that_is_no_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    with pytest.raises(ValueError, match="whole number above 0"):
        per_process(setting, "user")
    monkeypatch.setenv("MUCKARD_WEB_WORKERS", setting)
    with pytest.raises(InvalidEnvironment, match="MUCKARD_WEB_WORKERS is not valid"):
        read_environment("user")


@pytest.mark.parametrize(
    ("text", "most"), [("max 100000", 10_000), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 10_000)]
)
def test_a_container_has_the_cores_that_it_is_limited_to(tmp_path: Path, text: str, most: int) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(text)

    machine = available_cores(tmp_path / "none")
    assert available_cores(limit) == min(machine, most)
