"""The process table (processes.toml beside this file): every process of the platform, its names, ports and commands.

Standard library only: the local stack's starter reads it before any package is installed.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

FILE = Path(__file__).with_name("processes.toml")

Kind = Literal["web", "command", "worker", "flower", "gateway"]
Server = Literal["gunicorn", "uvicorn"]
Replicas = Literal["one", "standby", "many"]


# It keeps idle connections for longer than the gateway does, logs errors alone, and ends what is open after 3 s.
UVICORN = (
    "--log-level", "warning", "--no-access-log", "--no-server-header", "--lifespan", "on", "--loop", "asyncio",
    "--http", "h11", "--backlog", "2048", "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "3",
)  # fmt: skip


class InvalidProcessTable(Exception):
    """processes.toml contradicts itself. The text names the process and the field."""


@dataclass(frozen=True)
class Process:
    """One process of the platform. processes.toml explains the fields; `port` and `metrics_port` are 0 where there is
    none, durations are in seconds."""

    name: str
    kind: Kind
    replicas: Replicas
    does: str
    service: str = ""
    project: str = ""
    server: Server = "gunicorn"
    role: str = ""
    port: int = 0
    metrics_port: int = 0
    threads: int = 0
    follows_cores: bool = False
    queues: tuple[str, ...] = ()
    concurrency: int = 0
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    stop_signal: str = "TERM"
    stop_seconds: int = 15

    @property
    def has_heartbeat(self) -> bool:
        """Whether the process writes rows of its name into process_heartbeat."""
        return self.kind in ("command", "worker")

    @property
    def management_command(self) -> str:
        """`run_retry_router` of `retry-router`."""
        return f"run_{self.name.replace('-', '_')}"

    def command(self, *, address: str, port: int, witness: str) -> list[str]:
        """The program and its arguments. A process with a port of its own listens on `address`:`port`; `witness` is the
        witness file of the audit log."""
        match self.kind:
            case "web" if self.server == "uvicorn":
                return ["uvicorn", f"{self.project}.asgi:application", "--host", address, "--port", str(port), *UVICORN]
            case "web":
                options = ["--bind", f"{address}:{port}"]
                config = "python:service_common.gunicorn_config"
                return ["gunicorn", "--config", config, f"{self.project}.wsgi:application", *options]
            case "command":
                given = [argument.replace("{witness}", witness) for argument in self.arguments]
                return ["python", "manage.py", self.management_command, *given]
            case "worker":
                node = ["-n", f"{self.name}@%h", "-Q", ",".join(self.queues), "-c", str(self.concurrency)]
                return ["python", "-m", "service_common.celery_worker", *node]
            case "flower":
                # Below this path the gateway has it.
                where = [f"--address={address}", f"--port={port}", "--url-prefix=flower"]
                return ["celery", "-A", "celery_app", "flower", *where]
            case "gateway":
                raise InvalidProcessTable("The gateway's command depends on where its configuration is.")

    def environment(self, *, metrics_address: str, metrics_port: int) -> dict[str, str]:
        """The variables that make a process this one; no secret is among them."""
        variables = {"SERVICE": self.service, "MUCKARD_PROCESS": self.name}
        if self.role:
            variables["MUCKARD_DB_ROLE"] = self.role
        if self.metrics_port:
            variables |= {"MUCKARD_METRICS_ADDRESS": metrics_address, "MUCKARD_METRICS_PORT": str(metrics_port)}
        return variables


def read(text: str) -> dict[str, Process]:
    """The processes by name, in the order of the file. Raises InvalidProcessTable."""
    table = {name: _process(name, fields) for name, fields in tomllib.loads(text).items()}
    holders: dict[int, str] = {}
    for process in table.values():
        for port in filter(None, (process.port, process.metrics_port)):
            if port in holders:
                raise InvalidProcessTable(f"Port {port} is given to both {holders[port]} and {process.name}.")
            holders[port] = process.name
    return table


def process_of_heartbeat(row: str) -> str:
    """The process that a heartbeat row belongs to: `retry-router` of `retry-router.high`, `worker` of `worker@host`."""
    return row.partition("@")[0].partition(".")[0]


def _process(name: str, fields: dict[str, Any]) -> Process:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    try:
        process = Process(name=name, **given)
    except TypeError as error:
        raise InvalidProcessTable(f"{name}: {error}.") from None
    for field, known in (("kind", Kind), ("replicas", Replicas), ("server", Server)):
        if (value := getattr(process, field)) not in get_args(known):
            raise InvalidProcessTable(f"{name}: {field}={value!r} is unknown.")
    if unknown := set(process.needs) - {"postgres", "redis", "rabbitmq", "kafka", "services", "paper", "internet"}:
        raise InvalidProcessTable(f"{name}: needs {', '.join(sorted(unknown))}, which is nothing that is known.")
    if process.has_heartbeat and not process.metrics_port:
        raise InvalidProcessTable(f"{name}: a process without metrics_port cannot be watched.")
    return process


PROCESSES: Mapping[str, Process] = read(FILE.read_text(encoding="utf-8"))
