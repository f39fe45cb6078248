"""The one Celery application: queues, routes and the settings that keep commands from being lost.

Workers publish nothing: a failing task is rejected and so dead-letters to the retry router, and a task publishes
through the outbox. The reasons for each setting are in docs/rabbitmq.md.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "platform")) if path not in sys.path]

if "DJANGO_SETTINGS_MODULE" not in os.environ:
    from manage import PROJECTS

    os.environ["DJANGO_SETTINGS_MODULE"] = f"{PROJECTS[os.environ.get('SERVICE', 'bot')]}.settings"

from celery import Celery  # noqa: E402
from celery.signals import import_modules  # noqa: E402
from django.conf import settings  # noqa: E402

# A command that takes longer fails: first by an exception in its handler, then by the end of its process.
SOFT_TIME_LIMIT_SECONDS = 100
TIME_LIMIT_SECONDS = 120

app = Celery("muckard", set_as_current=True)
# Makes the application current in all threads: the dispatcher serializes messages in another one.
app.set_default()
app.conf.update(
    broker_url=settings.ENVIRONMENT.rabbitmq_url,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    # A failed task is rejected without requeue, and so dead-letters; it must not be acknowledged.
    task_acks_on_failure=False,
    # A killed process or an exceeded time limit requeues the message. The execution's row ends that after the last
    # attempt; the queue's delivery limit is the second bound.
    task_acks_on_timeout=False,
    task_reject_on_worker_lost=True,
    # Celery kills a new child that does not report within 4 s, again and again on a machine under load.
    worker_proc_alive_timeout=60.0,
    task_soft_time_limit=SOFT_TIME_LIMIT_SECONDS,
    task_time_limit=TIME_LIMIT_SECONDS,
    # A misspelled queue name must raise instead of creating a queue.
    task_create_missing_queues=False,
    # The state of a command lives in PostgreSQL.
    task_ignore_result=True,
    task_send_sent_event=False,
    worker_send_task_events=True,
    worker_consumer="apps.events.commands.worker.consumer:CommandConsumer",
    worker_prefetch_multiplier=1,
    # A running command is finished although its connection is lost: the next delivery finds it running or done. Ending
    # it would leave orders whose outcome is unknown.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_soft_shutdown_timeout=10,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=True,
    broker_heartbeat=10,
    broker_connection_timeout=4,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # The worker waits for a missing queue, as for a missing broker.
    broker_channel_error_retry=True,
    # No confirm_publish: with it a frozen broker hangs the main loop permanently.
    broker_transport_options={"client_properties": {"connection_name": f"muckard-{settings.SERVICE}-celery"}},
    # Each child keeps its database connection; a task checks it first (apps.events.commands.runner).
    CELERY_DB_REUSE_MAX=sys.maxsize // 4,
    timezone="UTC",
)
app.autodiscover_tasks()


@import_modules.connect(sender=app, weak=False)
def _configure_queues(**_: object) -> None:
    """Runs when the worker imports its modules: queues derive from the message classes, which need Django set up."""
    from apps.events.commands.worker.consumer import CheckQueues, task_queues
    from apps.events.commands.worker.liveness import Liveness

    queues = task_queues()
    app.conf.task_queues = queues
    app.conf.task_routes = {queue.name: {"queue": queue.name} for queue in queues}
    app.steps["consumer"].add(CheckQueues)
    Liveness().connect()
