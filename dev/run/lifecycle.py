"""Starts and stops the servers of a profile in parallel, and waits until each answers."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dev.base import commands, ports, processes
from dev.base.errors import Cancelled, StackError
from dev.base.profile import ROOT, Profile, write_atomically
from dev.base.progress import say, step
from dev.config import environment
from dev.install import installer
from dev.servers import kafka
from dev.servers.registry import SERVERS
from dev.servers.server import Launch, Server

POLL_SECONDS = 0.05
EXTERNAL_SECONDS = 5.0
UNANSWERED_SECONDS = 3.0


def local_servers(profile: Profile) -> list[Server]:
    """The servers that this profile starts: those without a URL in the environment."""
    found = environment.addresses(profile, os.environ)
    return [server for server in SERVERS if found[server.name].is_local]


def refuse_busy_ports(profile: Profile) -> None:
    """Raises StackError if another program holds a port of a server that does not run yet."""
    up = {process.name for process in processes.running(profile)}
    absent = [server for server in local_servers(profile) if server.name not in up]
    mappers = [server.before_name for server in absent if server.before_name and server.before_name not in up]
    ports.refuse_busy(profile, [*(name for server in absent for name in server.ports), *mappers])


def refuse_too_little_memory(profile: Profile) -> None:
    """Raises StackError if Kafka does not run yet and there is too little memory for it."""
    up = {process.name for process in processes.running(profile)}
    if any(server.name == "kafka" and server.name not in up for server in local_servers(profile)):
        kafka.refuse_too_little_memory()


def start_servers(profile: Profile, started: list[str], then: Mapping[str, Callable[[], None]] | None = None) -> None:
    """Starts the servers that do not run and waits until all answer. Adds the names of the started ones to `started`.

    `then` maps a server to what is done as soon as it answers, while others are still starting.
    """
    found = environment.addresses(profile, os.environ)
    up = {process.name for process in processes.running(profile)}
    refuse_busy_ports(profile)

    def bring_up(server: Server) -> None:
        address = found[server.name]
        if not address.is_local:
            _ask_until_it_answers(server, address.url, f"is given by {environment.SERVER_URLS[server.name]}")
        elif server.name in up:
            _ask_until_it_answers(server, address.url, "runs already", own=profile)
        else:
            started.append(server.name)
            _start(profile, server, address.url, with_mapper=server.before_name not in up)
        if then and server.name in then:
            then[server.name]()

    commands.in_parallel([partial(bring_up, server) for server in SERVERS])


def stop_servers(profile: Profile, names: Sequence[str] | None = None) -> None:
    """Stops the servers (all, or those named), each before its port mapper. Prints nothing if none runs."""
    wanted = [server for server in SERVERS if names is None or server.name in names]
    commands.in_parallel([partial(_stop, profile, server) for server in wanted if _is_up(profile, server)])


def ask(server: str, url: str, seconds: float) -> "subprocess.Popen[str]":
    """Starts the probe of a server (dev/run/probe.py); its exit code says whether the server answered."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    probe = subprocess.Popen(
        [installer.PYTHON, "-m", "dev.run.probe", server, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=clean,
        start_new_session=True,
    )
    assert probe.stdin is not None
    probe.stdin.write(url)
    probe.stdin.close()
    probe.stdin = None
    return probe


def _start(profile: Profile, server: Server, url: str, *, with_mapper: bool) -> None:
    with step(f"Starting {server.title}") as current:
        server.prepare(profile)
        if commands.is_cancelled():
            raise Cancelled
        if server.before is not None and with_mapper:
            _launch(profile, server.before_name, server.before(profile))
        process = _launch(profile, server.name, server.launch(profile))
        _wait(profile, server, url, server.start_seconds, process)
        write_atomically(profile.answered(server.name), f"{process.pid}\n")
        current.result = f"{server.title} answers on {environment.where(url)}{server.remark(profile)}"


def _ask_until_it_answers(server: Server, url: str, whose: str, *, own: Profile | None = None) -> None:
    """For a server that runs already: one that an earlier, perhaps killed, call started, or one that a URL names."""
    with step(f"Asking {server.title}, which {whose}") as current:
        _wait(own, server, url, server.start_seconds if own else EXTERNAL_SECONDS, None)
        current.result = f"{server.title} {whose}, on {environment.where(url)}"


def _launch(profile: Profile, name: str, launch: Launch) -> "subprocess.Popen[bytes]":
    return processes.spawn(
        profile, name, launch.command, environment=launch.environment, folder=launch.folder, user=launch.user
    )


def _wait(
    profile: Profile | None, server: Server, url: str, seconds: float, process: "subprocess.Popen[bytes] | None"
) -> None:
    log = profile.log(server.name) if profile else None
    probe = ask(server.name, url, seconds)
    try:
        while probe.poll() is None:
            if commands.is_cancelled():
                raise Cancelled
            if process is not None and process.poll() is not None:
                raise StackError(
                    f"{server.title} ended while it was starting (exit code {process.returncode}).",
                    log=log,
                    advice="the log says why; `make clean` removes this checkout's data and starts from nothing",
                )
            time.sleep(POLL_SECONDS)
    finally:
        if probe.poll() is None:
            probe.kill()
        text = probe.communicate()[0].strip()
    if probe.returncode:
        given = environment.SERVER_URLS[server.name]
        raise StackError(
            f"{server.title} on {environment.where(url)} does not answer within {seconds:.0f} s: {text[-300:]}",
            log=log,
            advice="the log says why; `make stop` ends what hangs"
            if profile
            else f"start it, or correct or unset {given}",
        )


def _is_up(profile: Profile, server: Server) -> bool:
    return any(process.name in server.names() for process in processes.running(profile))


def _stop(profile: Profile, server: Server) -> None:
    with step(f"Stopping {server.title}") as current:
        own = [process for process in processes.running(profile) if process.name == server.name]
        numbers = {process.pid for process in own}
        # Only the main process of the server: neither its children nor the script around it.
        heads = [process for process in own if process.program == server.program and _is_head(process, numbers, own)]
        seconds = server.stop_seconds if _has_answered(profile, server, heads) else UNANSWERED_SECONDS
        killed = processes.stop(heads, first=server.stop_signal, seconds=seconds)
        rest = [process for process in processes.running(profile) if process.name in server.names()]
        processes.wait_until_gone([process for process in rest if process.name == server.name], 2.0)
        rest = [process for process in processes.running(profile) if process.name in server.names()]
        processes.stop(rest, first=signal.SIGKILL, seconds=5.0)
        current.result = f"{server.title} has stopped" + (" (it had to be killed)" if killed else "")


def _has_answered(profile: Profile, server: Server, heads: Sequence[processes.OwnProcess]) -> bool:
    """Whether this process has answered before. One that is still starting has no data to save."""
    note = profile.answered(server.name)
    return note.is_file() and note.read_text().strip() in {str(head.pid) for head in heads}


def _is_head(process: processes.OwnProcess, numbers: set[int], own: Sequence[processes.OwnProcess]) -> bool:
    parent = next((other for other in own if other.pid == process.parent), None)
    return process.parent not in numbers or (parent is not None and parent.program != process.program)


def show_status(profile: Profile) -> bool:
    """Prints a line for each server. Returns whether all run."""
    up = {process.name: process.pid for process in reversed(processes.running(profile))}
    for server in local_servers(profile):
        port = profile.ports[server.ports[0]]
        say(
            f"  {server.title:<18} {'127.0.0.1:' + str(port):<18} "
            + (f"pid {up[server.name]}" if server.name in up else "down")
        )
    return all(server.name in up for server in local_servers(profile))
