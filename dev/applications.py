"""The platform's processes: what each runs as, and the circus configuration that keeps them running.

circus (circusd) starts them, starts again what dies, and ends them in order; a process is never ours to supervise.
docker/docker-compose.microservices.yml lists the same processes for containers.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev import environment, gateway, install, processes, secrets
from dev.profile import ROOT, Profile, write_atomically

SUPERVISOR = "circus"

VERIFY_EVERY_SECONDS = 300


@dataclass(frozen=True)
class Application:
    """One process: its command below .venv/bin, the service whose settings and secrets it has, its database role."""

    name: str
    command: tuple[str, ...]
    service: str
    role: str = ""
    stop_signal: str = "TERM"
    stop_seconds: int = 15


def web(service: str, project: str, port: int, *, workers: str, threads: int = 8) -> Application:
    """An HTTP service: processes, threads for requests that wait, connections kept longer than the gateway does."""
    bind = f"127.0.0.1:{port}"
    options = (
        f"--worker-class gthread --workers {workers} --threads {threads} --keep-alive 75 --timeout 60 "
        "--graceful-timeout 10"
    )
    more = "--worker-tmp-dir /dev/shm --no-control-socket --log-level warning"
    return Application(
        service, tuple(f"gunicorn {project}.wsgi:application --bind {bind} {options} {more}".split()), service
    )


def manage(name: str, command: str, service: str, role: str = "") -> Application:
    return Application(name, ("python", "manage.py", *shlex.split(command)), service, role)


def worker(profile: Profile, name: str, queues: str, processes_: int) -> Application:
    """Celery's own start-up chatter (gossip, mingle) is left out: no worker needs to know another."""
    node = f"{name}-{profile.name}@%h"
    text = (
        f"celery -A celery_app worker -n {node} -Q {queues} -c {processes_} --without-gossip --without-mingle -l INFO"
    )
    return Application(name, tuple(text.split()), "bot", stop_seconds=20)


def witness(profile: Profile) -> Path:
    """Holds every signed note of the audit log. Where it counts, it lies where database administrators cannot write."""
    return profile.folder / "witness" / "notes"


def applications(profile: Profile, environ: Mapping[str, str] = os.environ) -> list[Application]:
    """Every process but the gateway, the ones that others wait for first. Raises StackError for an unusable setting."""
    port = profile.ports
    workers = gateway.whole_number(environ, environment.WEB_WORKERS_VARIABLE, "1")
    return [
        web("user", "user_service", port["user"], workers=workers),
        web("kraken", "kraken_service", port["kraken"], workers=workers, threads=16),
        web("bot", "bot_service", port["bot"], workers=workers, threads=4),
        web("staff", "staff_site", port["staff"], workers=workers),
        web("paper", "paper_exchange", port["paper"], workers=workers),
        manage("relay", f"relay_events --metrics-port {port['relay_metrics']}", "staff", "relay"),
        manage("dispatcher", f"dispatch_commands --metrics-port {port['dispatcher_metrics']}", "staff", "dispatcher"),
        manage("router", f"route_failures --metrics-port {port['router_metrics']}", "staff", "dispatcher"),
        manage("consume-events", f"consume_events --metrics-port {port['consume_events_metrics']}", "kraken"),
        manage("consume-status", f"consume_status --metrics-port {port['consume_status_metrics']}", "kraken"),
        worker(profile, "worker", "bot.start,bot.stop", 2),
        worker(profile, "worker-high", "bot.trigger_trade", 1),
        worker(profile, "worker-ticks", "bot.tick", 2),
        manage("scheduler", "schedule_ticks", "bot"),
        manage("reconciler", "reconcile_orders", "bot"),
        manage("sealer", f"seal_audit --witness {shlex.quote(str(witness(profile)))}", "staff", "sealer"),
        manage(
            "verifier",
            f"audit_verify --every {VERIFY_EVERY_SECONDS} --witness {shlex.quote(str(witness(profile)))} "
            f"--metrics-port {port['verifier_metrics']}",
            "staff",
            "verifier",
        ),
        manage("mailer", "run_mailer", "user"),
        Application(
            "flower", tuple(f"celery -A celery_app flower --address=127.0.0.1 --port={port['flower']}".split()), "bot"
        ),
    ]


def folder(profile: Profile) -> Path:
    return profile.folder / "circus"


def write_configuration(profile: Profile) -> Path:
    """circus.ini of this profile. Readable by this user only: Flower's log-in is in it."""
    folder(profile).mkdir(mode=0o700, parents=True, exist_ok=True)
    witness(profile).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sections = [_SUPERVISOR]
    # circus starts the highest priority first.
    for priority, application in enumerate(reversed(applications(profile))):
        sections.append(_watcher(profile, application, priority))
    sections.append(_gateway(profile))
    path = folder(profile) / "circus.ini"
    write_atomically(path, "\n".join(sections), mode=0o600)
    return path


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
"""

_SETTINGS = """\
numprocesses = 1
copy_env = True
max_retry = -1
priority = {priority}
stop_signal = {stop_signal}
graceful_timeout = {stop_seconds}

[env:{name}]
{variables}
"""


def _watcher(profile: Profile, application: Application, priority: int) -> str:
    program, *arguments = application.command
    variables = {"SERVICE": application.service}
    if application.role:
        variables["MUCKARD_DB_ROLE"] = application.role
    if application.name == "flower":
        password = secrets.read(profile, "bot", "muckard_flower_password")
        variables["FLOWER_BASIC_AUTH"] = f"operator:{password}"
        variables["FLOWER_BROKER_API"] = f"{environment.management_url(profile)}/api/"
    command = [str(install.VENV / "bin" / program), *arguments]
    return _section(profile, application, command, ROOT) + _settings(profile, application, priority, variables)


def _gateway(profile: Profile) -> str:
    nginx = Application("gateway", (), "gateway", stop_signal="QUIT", stop_seconds=8)
    section = _section(profile, nginx, gateway.command(profile, "-g", "daemon off;"), gateway.folder(profile))
    return section + _settings(profile, nginx, 100, {})


def _section(profile: Profile, application: Application, command: list[str], where: Path) -> str:
    # One stream for both outputs, in the order they were written.
    script = shlex.quote(f"exec {shlex.join(command)} 2>&1")
    return _WATCHER.format(name=application.name, script=script, folder=where, log=profile.log(application.name))


def _settings(profile: Profile, application: Application, priority: int, variables: dict[str, str]) -> str:
    marked = variables | {processes.MARK: processes.mark(profile, application.name)}
    return _SETTINGS.format(
        name=application.name,
        priority=priority,
        stop_signal=application.stop_signal,
        stop_seconds=application.stop_seconds,
        variables="\n".join(f"{name} = {value}" for name, value in marked.items()),
    )
