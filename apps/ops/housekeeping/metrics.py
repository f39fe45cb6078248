"""Metrics of the housekeeping process."""

from apps.core.metrics import counter, gauge

_HERE = ("housekeeping",)

runs = counter(
    "housekeeping_runs_total", "Runs of a task by outcome: done, failed.", ["task", "outcome"], processes=_HERE
)
items = counter(
    "housekeeping_items_total", "Rows deleted, partitions made, steps of closures.", ["task"], processes=_HERE
)
failing = gauge("housekeeping_failing", "1 while the last run of the task failed.", ["task"], processes=_HERE)
last_success = gauge(
    "housekeeping_last_success_timestamp_seconds",
    "When the task last succeeded, in seconds since 1970.",
    ["task"],
    processes=_HERE,
)
