"""The Celery application with the tasks of tests.support.workers.tasks."""

import importlib
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.workers.settings"

from celery.signals import import_modules

from celery_app import app

__all__ = ["app"]


@import_modules.connect(sender=app, weak=False)
def load_tasks(**_: object) -> None:
    importlib.import_module("tests.support.workers.tasks")
    if limit := os.environ.get("TEST_PROGRESS_LIMIT"):
        from apps.events.commands.worker import liveness
        from apps.events.process import progress

        progress.LIMIT_SECONDS, liveness.BEAT_SECONDS = float(limit), 0.5


if limits := os.environ.get("TEST_WORKER_LIMITS"):
    soft, hard = map(float, limits.split(","))
    app.conf.update(task_soft_time_limit=soft, task_time_limit=hard)
