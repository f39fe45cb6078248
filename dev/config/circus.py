"""The circus configuration of a profile: every process of the process table, kept running.

circus (circusd) starts the processes, starts again what dies, and ends them in order. Nothing here supervises.
"""

import shlex
from pathlib import Path

from apps.core.process_table import PROCESSES, Process
from dev.base import processes, secrets
from dev.base.profile import ROOT, Profile, metrics_port, write_atomically
from dev.config import environment, gateway
from dev.install import installer

SUPERVISOR = "circus"


def witness(profile: Profile) -> Path:
    """Holds every signed note of the audit log. In production it belongs where database administrators cannot write."""
    return profile.folder / "witness" / "notes"


def folder(profile: Profile) -> Path:
    return profile.folder / "circus"


def write_configuration(profile: Profile) -> Path:
    """circus.ini of this profile. Readable by this user only: Flower's password is in it."""
    folder(profile).mkdir(mode=0o700, parents=True, exist_ok=True)
    witness(profile).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # circus starts the highest priority first: the processes start in the order of the table.
    sections = [
        _watcher(profile, process, priority) for priority, process in enumerate(reversed(list(PROCESSES.values())))
    ]
    path = folder(profile) / "circus.ini"
    write_atomically(path, "\n".join([_SUPERVISOR, *sections]), mode=0o600)
    return path


def command(profile: Profile, process: Process) -> list[str]:
    """The program that this profile runs for a process, and its arguments."""
    if process.kind == "gateway":
        return gateway.command(profile, "-g", "daemon off;")
    port = profile.ports[process.name] if process.port else 0
    program, *arguments = process.command(address="127.0.0.1", port=port, witness=str(witness(profile)))
    return [str(installer.VENV / "bin" / program), *arguments]


def variables(profile: Profile, process: Process) -> dict[str, str]:
    """The environment of a process, on top of what all processes of the profile share."""
    if process.kind == "gateway":
        return {}
    port = profile.ports[metrics_port(process.name)] if process.metrics_port else 0
    given = process.environment(metrics_address="127.0.0.1", metrics_port=port)
    if process.kind == "flower":
        password = secrets.read(profile, process.service, "muckard_flower_password")
        given["FLOWER_BASIC_AUTH"] = f"operator:{password}"
        given["FLOWER_BROKER_API"] = f"{environment.management_url(profile)}/api/"
    return given


# Endpoints are relative to the folder that circusd works in: the path of a socket may not be long.
_SUPERVISOR = """\
[circus]
endpoint = ipc://control.sock
pubsub_endpoint = ipc://events.sock
check_delay = 1
warmup_delay = 0
statsd = False
"""

_WATCHER = """\
[watcher:{name}]
cmd = /bin/sh
args = -c {script}
working_dir = {folder}
stdout_stream.class = FileStream
stdout_stream.filename = {log}
numprocesses = 1
copy_env = True
max_retry = -1
priority = {priority}
stop_signal = {stop_signal}
graceful_timeout = {stop_seconds}

[env:{name}]
{variables}
"""


def _watcher(profile: Profile, process: Process, priority: int) -> str:
    marked = variables(profile, process) | {processes.MARK: processes.mark(profile, process.name)}
    return _WATCHER.format(
        name=process.name,
        # One stream for both outputs, in the order they were written.
        script=shlex.quote(f"exec {shlex.join(command(profile, process))} 2>&1"),
        folder=gateway.folder(profile) if process.kind == "gateway" else ROOT,
        log=profile.log(process.name),
        priority=priority,
        stop_signal=process.stop_signal,
        stop_seconds=process.stop_seconds,
        variables="\n".join(f"{name} = {value}" for name, value in marked.items()),
    )
