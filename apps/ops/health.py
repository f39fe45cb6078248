"""What a service can say of its health without asking a broker: liveness touches nothing, readiness the database.

Brokers are never probed in a request. Background processes write what they see of theirs into a heartbeat row.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection

from apps.events.selectors import heartbeat_list

# A process that has not beaten for this long is taken for dead.
SILENT_AFTER = timedelta(seconds=15)


@dataclass(frozen=True)
class DependencyState:
    """`state` is up, down or unknown; `detail` is for a person."""

    name: str
    state: str
    detail: str = ""
    required: bool = False


def readiness(*, now: datetime) -> tuple[bool, dict[str, Any]]:
    """Whether the service can serve, and each dependency's state. Never raises."""
    database = _database()
    states = [database, _redis()]
    if database.state == "up":
        states += _processes(now)
    can_serve = all(state.state == "up" for state in states if state.required)
    down = [state.name for state in states if state.state != "up"]
    status = "unavailable" if not can_serve else "degraded" if down else "ready"
    return can_serve, {
        "status": status,
        "degraded": down,
        "dependencies": [asdict(state) for state in states],
        "as_of": now.isoformat(),
    }


def platform_health(*, now: datetime) -> tuple[bool, dict[str, Any]]:
    """The whole platform's state: every HTTP service asked for its liveness, everything else as in `readiness`."""
    env = settings.ENVIRONMENT
    services = {"user": env.user_port, "kraken": env.kraken_port, "bot": env.bot_port, "paper": env.paper_port}
    with ThreadPoolExecutor(len(services)) as pool:
        states = list(pool.map(_service, services.keys(), services.values()))
    can_serve, body = readiness(now=now)
    down = [state.name for state in states if state.state != "up"]
    body["dependencies"] = [asdict(state) for state in states] + body["dependencies"]
    body["degraded"] = down + body["degraded"]
    if can_serve and body["degraded"]:
        body["status"] = "degraded"
    return can_serve, body


def _service(name: str, port: int) -> DependencyState:
    host = getattr(settings.ENVIRONMENT, f"{name}_host")
    try:
        answer = requests.get(f"http://{host}:{port}/health/live", timeout=1.0)
    except requests.RequestException:
        return DependencyState(f"{name} service", "down", "It does not answer.")
    return DependencyState(f"{name} service", "up" if answer.status_code == 200 else "down")


def _database() -> DependencyState:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return DependencyState("postgresql", "down", "It does not answer.", required=True)
    return DependencyState("postgresql", "up", required=True)


def _redis() -> DependencyState:
    probe = "health"
    cache.set(probe, "1", timeout=5)
    if cache.get(probe) == "1":
        return DependencyState("redis", "up")
    return DependencyState("redis", "down", "Caches and wake-ups are off; nothing is lost.")


def _processes(now: datetime) -> list[DependencyState]:
    states = []
    for beat in heartbeat_list():
        if now - beat.beat_at > SILENT_AFTER:
            seconds = int((now - beat.beat_at).total_seconds())
            states.append(DependencyState(beat.name, "down", f"Silent for {seconds} s."))
        else:
            states.append(DependencyState(beat.name, "up" if beat.state == "up" else "down", beat.detail))
    return states
