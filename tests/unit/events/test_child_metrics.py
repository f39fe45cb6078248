"""The files of children that have ended are added up and removed; no count is lost, and none is seen twice."""

import os
import subprocess
import sys
from pathlib import Path

from apps.core.metrics import DECLARED
from apps.events.process import metrics

# A process of its own: prometheus_client decides when it is imported. It prints what a scrape shows.
BEGIN = """
import os, shutil
from service_common.multiprocess_metrics import share_metrics
folder = share_metrics()
from apps.core.metrics import counter, gauge, histogram
from apps.events.process.metrics import answer
done = counter("done_total", "Done.", ["kind"], processes=["worker"])
busy = gauge("busy", "Busy.", processes=["worker"], children="livesum")
took = histogram("took_seconds", "Took.", processes=["worker"], buckets=(1.0,))
never = counter("never_total", "Never counted.", ["kind"], processes=["worker"])
def child(count):
    if os.fork() == 0:
        done.labels("a").inc(count); busy.set(1); took.observe(0.5)
        os._exit(0)
    os.wait()
"""
END = """
print(answer()[0], sorted(path.name for path in folder.iterdir()))
shutil.rmtree(folder)
print(*answer())
"""


def run(script: str) -> str:
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script + END], env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_many_children_leave_one_file_a_kind_and_no_count_is_lost() -> None:
    shown = run(
        """
for _ in range(5):
    child(3)
    answer()
child(3)
busy.set(1)
print(answer()[2].decode())
"""
    )

    assert 'done_total{kind="a"} 18.0' in shown
    assert "took_seconds_count 6.0" in shown
    # Of the living process only
    assert "\nbusy 1.0" in shown
    files = next(line for line in shown.splitlines() if line.startswith("200 "))
    assert files.count("counter_") == 1
    assert files.count("histogram_") == 2  # the process's own, and the sum of the ended ones
    assert files.count("gauge_livesum_") == 1


def test_a_metric_without_a_value_is_named_in_a_scrape() -> None:
    shown = run("child(1)\nprint(answer()[2].decode())")

    assert "# TYPE never_total counter" in shown


def test_a_scrape_of_a_process_that_is_ending_says_so() -> None:
    shown = run("")

    assert shown.splitlines()[-1].startswith("503 text/plain")
    assert "This process is ending" in shown


def test_folders_of_killed_processes_are_removed_by_the_next_one(tmp_path: Path) -> None:
    gone = tmp_path / "muckard-metrics-999999999-x"
    gone.mkdir()
    alive = tmp_path / f"muckard-metrics-{os.getpid()}-x"
    alive.mkdir()
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    script = "from service_common.multiprocess_metrics import share_metrics; share_metrics()"

    subprocess.run([sys.executable, "-c", script], env=given, check=True)

    assert not gone.exists()
    assert alive.exists()


def test_the_metrics_port_serves_metrics_only() -> None:
    status: list[str] = []

    body = metrics._application({"PATH_INFO": "/"}, lambda line, _: status.append(line))

    assert status == ["404 Not Found"]
    assert list(body) == [b"There is /metrics only.\n"]


def test_every_metric_is_declared_with_its_processes() -> None:
    """A metric made without a declaration would be in no document, and no rule could name it."""
    direct = [
        str(path)
        for path in Path("apps").rglob("*.py")
        if path != Path("apps/core/metrics.py")
        and any(f"import {kind}" in path.read_text() for kind in ("Counter, Gauge", "Histogram", "Gauge\n"))
    ]

    assert direct == []
    assert all(each.processes for each in DECLARED.values())
