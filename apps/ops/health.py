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

from apps.core.identity.revocations import STALE_AFTER, revocations_unread_seconds
from apps.core.process_table import PROCESSES, process_of_heartbeat
from apps.events.models import ProcessHeartbeat
from apps.events.process.heartbeats import BROKERS, FORGOTTEN_AFTER, is_known, kind_of
from apps.events.store.selectors import heartbeat_list

# A process that has not beaten for this long is taken for dead.
SILENT_AFTER = timedelta(seconds=15)

# Who reports on a whole platform. Rows of a process may have parts and hosts: `relay.1`, `worker@host` (process table).
EXPECTED = (*(name for name, process in PROCESSES.items() if process.has_heartbeat), *BROKERS)


@dataclass(frozen=True)
class DependencyState:
    """`state` is up, down or unknown; `detail` is for a person."""

    name: str
    state: str
    detail: str = ""
    required: bool = False


def readiness(*, now: datetime, is_whole: bool = False) -> tuple[bool, dict[str, Any]]:
    """Whether the service can serve, and each dependency's state. `is_whole`: names expected processes that have never
    reported too. Never raises."""
    database = _database()
    states = [database, _redis(), *_revocations()]
    if database.state == "up":
        processes = _processes(now)
        states += processes + (_absent(processes) if is_whole else [])
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
    names = ("user", "kraken", "bot", "paper", "console", "stream")
    services = {name: getattr(env, f"{name}_port") for name in names}
    with ThreadPoolExecutor(len(services)) as pool:
        states = list(pool.map(_service, services.keys(), services.values()))
    can_serve, body = readiness(now=now, is_whole=True)
    down = [state.name for state in states if state.state != "up"]
    body["dependencies"] = [asdict(state) for state in states] + body["dependencies"]
    body["degraded"] = down + body["degraded"]
    if can_serve and body["degraded"]:
        body["status"] = "degraded"
    return can_serve, body


def without_hosts(body: dict[str, Any]) -> dict[str, Any]:
    """The same state with processes named without their hosts; several of a kind are numbered."""
    shown: dict[str, str] = {}
    for each in body["dependencies"]:
        kind = kind_of(each["name"])
        number = sum(1 for name in shown if kind_of(name) == kind) + 1
        shown[each["name"]] = kind if number == 1 else f"{kind}.{number}"
    return {
        **body,
        "degraded": [shown.get(name, kind_of(name)) for name in body["degraded"]],
        "dependencies": [{**each, "name": shown[each["name"]]} for each in body["dependencies"]],
    }


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
    return DependencyState(
        "redis", "down", "Caches and wake-ups are off, and each process counts quotas by itself; nothing is lost."
    )


def _revocations() -> list[DependencyState]:
    """Says so while this process cannot read which sessions have ended."""
    age = revocations_unread_seconds()
    if age is None:
        return []
    seconds = int(STALE_AFTER.total_seconds())
    detail = f"Ended sessions were last read {age:.0f} s ago. From {seconds} s on every token is refused with 503."
    return [DependencyState("revocations", "down", detail)]


def _processes(now: datetime) -> list[DependencyState]:
    beats = heartbeat_list()
    return [_process(beat, now) for beat in beats if not _is_replaced(beat, beats, now)]


def _process(beat: ProcessHeartbeat, now: datetime) -> DependencyState:
    if now - beat.beat_at > SILENT_AFTER:
        seconds = int((now - beat.beat_at).total_seconds())
        advice = "It has ended, or hangs in something that does not answer: see its log, and start it again."
        return DependencyState(beat.name, "down", f"Silent for {seconds} s. {advice}")
    if beat.beat_at - now > SILENT_AFTER:
        advice = "The clock was set back, and it has not reported since: see its log."
        return DependencyState(beat.name, "down", f"Its last report is of {beat.beat_at.isoformat()}. {advice}")
    return DependencyState(beat.name, "up" if beat.state == "up" else "down", beat.detail)


def _is_replaced(beat: ProcessHeartbeat, beats: list[ProcessHeartbeat], now: datetime) -> bool:
    """Whether a process is gone for good: silent for ten minutes, and another of its kind has beaten since; or silent,
    with a name that no process has any more. The last one of a kind is never left out: its silence must be shown."""
    silence = now - beat.beat_at
    if not is_known(beat.name):
        return silence > SILENT_AFTER
    if silence <= FORGOTTEN_AFTER:
        return False
    return any(other.beat_at > beat.beat_at and kind_of(other.name) == kind_of(beat.name) for other in beats)


def _absent(states: list[DependencyState]) -> list[DependencyState]:
    """The expected processes that have no heartbeat at all."""
    present = {process_of_heartbeat(state.name) for state in states}
    return [
        DependencyState(name, "down", "No such process has reported: start it.")
        for name in EXPECTED
        if name not in present
    ]
