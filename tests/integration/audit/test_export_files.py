"""A bundle file is private, complete or absent, and recorded before it gets its name, wherever the export dies."""

import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.audit import bundle, verify_bundle
from apps.audit.files import atomic_private_file, create_private, open_private_text, orphaned_partials
from apps.audit.filters import EventFilter
from apps.audit.write_archive import Partition, write_archive
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from tests.support.workers.processes import ROOT, Processes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _files_are_readable_by_all_unless_said_otherwise() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _export_ids() -> list[str]:
    rows = StoredEvent.objects.filter(event_type="audit.exported").order_by("recorded_at")
    return [str(row.aggregate_id) for row in rows]


def _dies(at: str, output: Path) -> None:
    """Runs audit_export in a process that dies when it calls `at`."""
    module, name = at.rsplit(".", 1)
    program = (
        f"import os, runpy, signal, sys, {module.split('.')[0]}\n"
        f"{module}.{name} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.argv = ['manage.py', 'audit_export', '--output', {str(output)!r}]\n"
        "runpy.run_path('manage.py', run_name='__main__')\n"
    )
    environment = Processes(output.parent).environment() | {"SERVICE": "staff"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _export_again(output: Path) -> str:
    errors = io.StringIO()
    call_command("audit_export", output=output, stdout=io.StringIO(), stderr=errors)
    assert list(output.parent.iterdir()) == [output]
    assert verify_bundle.verify_bundle(output).events >= 12
    return errors.getvalue()


class TestAnExportThatDies:
    def test_after_it_is_on_record_leaves_no_bundle_and_the_next_one_says_so(
        self, users: list[UUID], tmp_path: Path
    ) -> None:
        output = tmp_path / "bundle.zip"
        _dies("pathlib.Path.replace", output)

        [export_id] = _export_ids()
        [partial] = tmp_path.iterdir()
        assert (partial.name, _mode(partial)) == (f".bundle.zip.{export_id}.partial", 0o600)
        said = _export_again(output)
        assert f"Export {export_id} is in the audit log, and was cut short before its bundle got its name" in said

    def test_before_it_is_on_record_leaves_no_bundle_either(self, users: list[UUID], tmp_path: Path) -> None:
        output = tmp_path / "bundle.zip"
        output.write_text("an older one")
        _dies("os.fsync", output)

        assert _export_ids() == []
        assert output.read_text() == "an older one"
        [partial] = set(tmp_path.iterdir()) - {output}
        assert _mode(partial) == 0o600
        assert "cut short before it was in the audit log" in _export_again(output)

    def test_what_another_export_is_writing_now_is_not_taken_for_dead(self, tmp_path: Path) -> None:
        output = tmp_path / "bundle.zip"
        with atomic_private_file(output, str(uuid4())) as partial:
            assert list(orphaned_partials(output)) == []
            assert list(bundle.interrupted_exports(output)) == []
            partial.write_bytes(b"whole")
        assert output.read_bytes() == b"whole"


class TestModes:
    def test_the_bundle_is_private_before_it_has_its_name(
        self, users: list[UUID], key: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        modes: list[int] = []

        def look(*arguments: Any, **options: Any) -> Any:
            modes.extend(_mode(path) for path in tmp_path.iterdir())
            return publish(*arguments, **options)

        monkeypatch.setattr(bundle, "publish", look)
        bundle.export(filters=EventFilter(), path=tmp_path / "bundle.zip", key=key, operator="ada", now=timezone.now())
        assert modes == [0o600]
        assert [_mode(path) for path in tmp_path.iterdir()] == [0o600]

    def test_an_archived_month_is_private_whatever_an_archive_that_was_cut_short_left(
        self, checkpointed: list[UUID], this_month: Partition, tmp_path: Path
    ) -> None:
        (tmp_path / f"{this_month.name}.copy.partial").write_text("half")
        (tmp_path / f"{this_month.name}.copy.gz").write_text("an older one")
        row = write_archive(this_month, folder=tmp_path, now=timezone.now())

        assert {path.name: _mode(path) for path in tmp_path.iterdir()} == {row.file_name: 0o600}

    def test_json_lines_are_private_and_replace_a_file_that_was_not(self, users: list[UUID], tmp_path: Path) -> None:
        output = tmp_path / "events.jsonl"
        output.write_text("an older one")
        with output.open() as reader:
            call_command("replay_events", source="store", jsonl=output, stderr=io.StringIO())
            # A process that has the older, readable file open cannot read the new one.
            assert reader.read() == "an older one"

        assert {path.name: _mode(path) for path in tmp_path.iterdir()} == {"events.jsonl": 0o600}
        assert len(output.read_text().splitlines()) == 12

    def test_a_private_file_is_never_one_that_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "there").touch()
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

        for name in ("there", "link"):
            with pytest.raises(FileExistsError):
                create_private(tmp_path / name)
        os.close(create_private(tmp_path / "new"))
        assert _mode(tmp_path / "new") == 0o600
        assert not (tmp_path / "elsewhere").exists()


class TestWhatIsNoOrdinaryFile:
    def test_no_bundle_takes_its_place(self, users: list[UUID], tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()

        for name in ("pipe", "folder"):
            with pytest.raises(CommandError, match=r"The bundle could not be written: .* is not an ordinary file"):
                call_command("audit_export", output=tmp_path / name, stdout=io.StringIO())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
        assert _export_ids() == []

    def test_json_lines_go_through_a_pipe(self, tmp_path: Path) -> None:
        pipe, read = tmp_path / "pipe", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
        reader.start()
        with open_private_text(pipe) as file:
            file.write("one\n")
        reader.join(timeout=10)

        assert read == ["one\n"]
        assert stat.S_ISFIFO(pipe.stat().st_mode)
