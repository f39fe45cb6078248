import hashlib
import os
from pathlib import Path

import pytest

from dev.base import data_folder
from dev.base.errors import StackError, log_tail
from dev.servers import java, kafka, postgres
from dev.servers.kafka_jars import jars


def test_too_little_memory_for_kafka_is_said_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "available_mib", lambda: 700)

    with pytest.raises(StackError, match="Kafka needs about 1024 MiB of memory and 700 MiB are available"):
        kafka.refuse_too_little_memory()


def test_the_limit_of_a_container_counts_where_it_is_lower(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4194304 kB\nMemAvailable: 3145728 kB\n")
    assert kafka.available_mib(meminfo, tmp_path) == 3072

    (tmp_path / "memory.max").write_text(f"{2048 * 1024 * 1024}\n")
    (tmp_path / "memory.current").write_text(f"{1536 * 1024 * 1024}\n")
    assert kafka.available_mib(meminfo, tmp_path) == 512

    (tmp_path / "memory.max").write_text("max\n")
    assert kafka.available_mib(meminfo, tmp_path) == 3072


@pytest.mark.parametrize(("text", "expected"), [('JAVA_VERSION="17.0.15"', 17), ('JAVA_VERSION="11.0.2"', 11), ("", 0)])
def test_a_runtime_says_how_old_it_is(tmp_path: Path, text: str, expected: int) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.touch(mode=0o755)
    (tmp_path / "release").write_text(text + "\n")

    assert java.version(tmp_path) == expected


def test_jars_that_are_not_the_listed_ones_are_named(tmp_path: Path) -> None:
    for name in ("same.jar", "changed.jar", "extra.jar"):
        (tmp_path / name).write_text(name)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("same.jar", "missing.jar")}
    listed = "".join(f"{digest}  {name}\n" for name, digest in digests.items()) + f"{'0' * 64}  changed.jar\n"

    assert jars.differences(tmp_path, listed) == ["changed.jar", "extra.jar", "missing.jar"]


def test_the_pinned_kafka_is_among_the_listed_jars() -> None:
    assert f"  kafka_2.13-{jars.VERSION}.jar\n" in jars.HASHES.read_text()


def test_a_number_left_by_a_dead_server_is_forgotten_and_another_programs_is_too(tmp_path: Path) -> None:
    note = tmp_path / "postmaster.pid"
    for number in ("4194399", str(os.getpid()), ""):
        note.write_text(f"{number}\n/data\n")

        postgres._forget_dead(tmp_path)

        assert not note.exists()


def test_a_folder_behind_a_closed_one_is_not_used_for_postgresql(tmp_path: Path) -> None:
    inside = tmp_path / "closed" / "checkout"
    inside.mkdir(parents=True)
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o700)

    assert not data_folder._may_enter(inside)


def test_the_end_of_a_log_is_shown_with_its_name(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)) + "\n\n")

    shown = log_tail(log, count=2)

    assert list(shown) == [f"The end of {log}:", "    line 98", "    line 99"]
    assert log_tail(tmp_path / "none.log") == []
