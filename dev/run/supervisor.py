"""Starts and stops the processes of the process table through circus, and waits until they are ready."""

import http.client
import os
import signal
import ssl
import time

from apps.core.process_table import PROCESSES
from dev.base import commands, ports, processes
from dev.base.errors import Cancelled, StackError
from dev.base.profile import APPLICATION_PORTS, METRICS_PORTS, Profile
from dev.base.progress import say, step
from dev.base.secrets import WEB
from dev.config import circus, environment, gateway, tls
from dev.install import installer

READY_SECONDS = 150.0
STOP_SECONDS = 30.0
# A process that was started this often before all processes were ready is broken.
STARTS_AT_MOST = 4
# Number of the start: seconds that a process must have run to count as up. circus restarts what dies early.
SETTLED_SECONDS = {1: 3.0, 2: 10.0, 3: 15.0}
POLL_SECONDS = 0.25


def is_up(profile: Profile) -> bool:
    return bool(processes.named(profile, circus.SUPERVISOR))


def names() -> list[str]:
    return list(PROCESSES)


def refuse_busy_ports(profile: Profile) -> None:
    """Raises StackError where another program holds a port that the applications need and do not have yet.

    Processes that a killed circus left behind are ended first: they hold these ports and are not supervised any more.
    """
    if not is_up(profile):
        stop_orphans(profile)
        ports.refuse_busy(profile, APPLICATION_PORTS | METRICS_PORTS)


def start(profile: Profile) -> None:
    """Starts circus on this profile's configuration."""
    gateway.write(profile, os.environ)
    configuration = circus.write_configuration(profile)
    for name in names():
        log = profile.log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
    processes.spawn(
        profile,
        circus.SUPERVISOR,
        [str(installer.VENV / "bin" / "circusd"), "--log-level", "INFO", str(configuration)],
        environment=environment.for_processes(profile, os.environ),
        folder=circus.folder(profile),
    )


def stop(profile: Profile) -> None:
    """Ends circus, which ends its processes, then processes that are left."""
    up = processes.named(profile, circus.SUPERVISOR)
    if up:
        with step("Stopping the application processes") as current:
            killed = processes.stop(up, first=signal.SIGTERM, seconds=STOP_SECONDS)
            stop_orphans(profile)
            current.result = "The application processes have stopped" + (" (circus had to be killed)" if killed else "")
    else:
        stop_orphans(profile)


def stop_orphans(profile: Profile) -> None:
    """Ends application processes that no circus supervises."""
    left = [process for process in processes.running(profile) if process.name in names()]
    if left and not is_up(profile):
        processes.stop(left, first=signal.SIGTERM, seconds=10.0)


def wait_until_ready(profile: Profile) -> None:
    """Waits until every process runs and every service is ready, as asked through the gateway."""
    waiting = {*WEB, "stream"}
    deadline = time.monotonic() + READY_SECONDS
    seen: dict[str, dict[int, float]] = {}
    with step("Starting the application processes") as current:
        while True:
            up = _look(profile, seen)
            waiting = {service for service in waiting if _status(profile, f"/health/{service}") != 200}
            absent = [name for name in names() if name not in up]
            if not waiting and not absent:
                break
            current.title = f"Waiting for {_shortened(sorted(waiting | set(absent)))}"
            if commands.is_cancelled():
                raise Cancelled
            if not is_up(profile):
                raise StackError("circus ended.", log=profile.log(circus.SUPERVISOR), advice="see the log above")
            if time.monotonic() > deadline:
                name = sorted(waiting)[0] if waiting else absent[0]
                raise StackError(f"{name} is not ready after {READY_SECONDS:.0f} s.", log=profile.log(name))
            time.sleep(POLL_SECONDS)
        current.result = f"{len(names())} application processes run, {len(WEB)} services are ready"


def watch(profile: Profile) -> None:
    """Blocks until circus ends. Reports each process that died and was started again."""
    known = {process.name: process.pid for process in reversed(processes.running(profile))}
    while is_up(profile):
        time.sleep(2.0)
        now = {process.name: process.pid for process in reversed(processes.running(profile))}
        for name in names():
            if name in known and name in now and now[name] != known[name]:
                say(f"  {name} ended and was started again; its log: {profile.log(name)}")
        known |= now


def _shortened(listed: list[str]) -> str:
    return ", ".join(listed) if len(listed) <= 5 else f"{', '.join(listed[:4])} and {len(listed) - 4} more"


def _look(profile: Profile, seen: dict[str, dict[int, float]]) -> set[str]:
    """The names of the processes that are up. `seen` keeps when each start was first seen: name, pid, seconds.

    Raises StackError for a process that ends as often as it is started.
    """
    supervisors = {process.pid for process in processes.named(profile, circus.SUPERVISOR)}
    heads = [process for process in processes.running(profile) if process.parent in supervisors]
    settled = set()
    for process in heads:
        starts = seen.setdefault(process.name, {})
        age = time.monotonic() - starts.setdefault(process.pid, time.monotonic())
        if len(starts) >= STARTS_AT_MOST:
            raise StackError(
                f"The process {process.name} ends again and again.",
                log=profile.log(process.name),
                advice="the log says why",
            )
        if age >= SETTLED_SECONDS[len(starts)]:
            settled.add(process.name)
    return settled


def _gateway(profile: Profile) -> http.client.HTTPConnection:
    if not tls.is_on(os.environ):
        return http.client.HTTPConnection("127.0.0.1", profile.ports["gateway"], timeout=5)
    # Asks whether it answers, of this machine's own port; the certificate may be for another name.
    unverified = ssl._create_unverified_context()  # noqa: S323  # nosec B323
    return http.client.HTTPSConnection("127.0.0.1", profile.ports["gateway_tls"], timeout=5, context=unverified)


def _status(profile: Profile, path: str) -> int:
    """The status of a GET through the gateway; 0 if there is no answer."""
    connection = _gateway(profile)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def show_status(profile: Profile) -> bool:
    """Prints a line for each process if circus runs. Returns whether none is missing."""
    up = {process.name: process.pid for process in reversed(processes.running(profile))}
    if not is_up(profile):
        say("  The application processes are down.")
        return True
    for name in names():
        address = f"127.0.0.1:{profile.ports[name]}" if name in profile.ports else ""
        say(f"  {name:<18} {address:<18} " + (f"pid {up[name]}" if name in up else "down"))
    return all(name in up for name in names())
