"""Handlers that follow a plan, and a diary of what ran. Plans and diary are files, shared with the test."""

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from apps.events.commands.delivery import Delivery
from apps.events.commands.registry import executes, on_wake_up
from apps.messages.base import Command
from apps.messages.bots import StartBot, StopBot, TickBot, TriggerTrade

FOLDER = Path(os.environ["TEST_WORKER_FOLDER"])


def note(what: str, subject: UUID, **more: Any) -> None:
    line = json.dumps({"what": what, "id": str(subject), "pid": os.getpid(), "at": time.time(), **more}) + "\n"
    descriptor = os.open(FOLDER / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def plan_of(subject: UUID) -> dict[str, Any]:
    path = FOLDER / f"{subject}.json"
    plan: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return plan


def follow(command: Command, delivery: Delivery) -> None:
    """fails / dies: on so many first attempts; seconds: how long it takes; stubborn: ignores the soft time limit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    note("start", command.command_id, attempt=delivery.attempt, backend=backend)
    plan = plan_of(command.command_id)
    try:
        time.sleep(plan.get("seconds", 0))
    except SoftTimeLimitExceeded:
        if not plan.get("stubborn"):
            raise
        time.sleep(plan["seconds"])
    if delivery.attempt <= plan.get("dies", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if delivery.attempt <= plan.get("fails", 0):
        raise RuntimeError("as planned")
    note("end", command.command_id, attempt=delivery.attempt)


def tell(command: Command, code: str, message: str, now: datetime) -> None:
    note("failure", command.command_id, code=code)


for message_class in (StartBot, StopBot, TriggerTrade):
    executes(message_class, on_failure=tell)(follow)


@on_wake_up(TickBot)
def tick(signal_: TickBot) -> None:
    note("tick", signal_.run_id)
    if plan_of(signal_.run_id).get("fails"):
        raise RuntimeError("as planned")
