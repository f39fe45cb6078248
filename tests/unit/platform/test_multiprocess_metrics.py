"""Metrics of a process with children, as gunicorn and Celery have them."""

import os
import subprocess
import sys

SCRIPT = """
import os, shutil
from service_common.multiprocess_metrics import share_metrics
folder = share_metrics()
from prometheus_client import Counter, generate_latest
from apps.events.process.metrics import registry
done = Counter("done", "Done.")
for _ in range(2):
    if os.fork() == 0:
        done.inc(3)
        os._exit(0)
    os.wait()
done.inc()
print(generate_latest(registry()).decode())
shutil.rmtree(folder)
"""


def test_metrics_of_all_children_are_added_up_and_those_of_ended_ones_stay() -> None:
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # A process of its own: prometheus_client decides when it is imported.
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=given, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "done_total 7.0" in done.stdout
