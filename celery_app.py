"""The one Celery application: queues, routes and the settings that keep commands from being lost.

Workers publish nothing: a failing task is rejected, which dead-letters it towards its next attempt, and whatever a task
announces goes through the outbox. The reasons for each setting are in docs/messaging.md.
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
from django.conf import settings  # noqa: E402

app = Celery("muckard", set_as_current=True)
app.conf.update(
    broker_url=settings.ENVIRONMENT.rabbitmq_url,
    task_serializer="json",
    accept_content=["json"],
    # A failure is rejected without requeue and dead-letters; it must not be acknowledged.
    task_acks_late=True,
    task_acks_on_failure=False,
    # True on purpose: False means "requeue", an endless loop.
    task_acks_on_timeout=True,
    task_reject_on_worker_lost=True,
    # A typo must raise, not create a queue.
    task_create_missing_queues=False,
    task_default_exchange_type="topic",
    # The state of a command lives in PostgreSQL.
    task_ignore_result=True,
    task_send_sent_event=False,
    worker_send_task_events=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_soft_shutdown_timeout=10,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=True,
    broker_heartbeat=10,
    broker_connection_timeout=4,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"client_properties": {"connection_name": f"muckard-{settings.SERVICE}"}},
    timezone="UTC",
)
app.autodiscover_tasks()
