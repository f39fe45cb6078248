"""A profile is one stack of this checkout, with its own folder below .local/ and its own ports: `run`, `test` …"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apps.core.process_table import PROCESSES
from dev.base.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
# Shared by all profiles: Kafka and the logs of the installation
TOOLS = LOCAL / "tools"


def metrics_port(process: str) -> str:
    """The key of a process's metrics port: `retry_router_metrics` of `retry-router`."""
    return f"{process.replace('-', '_')}_metrics"


# name: port of the profile `run`. MUCKARD_<NAME>_PORT overrides one.
SERVER_PORTS = {
    "postgres": 15432,
    "rabbitmq": 15672,
    "rabbitmq_management": 15682,
    "rabbitmq_metrics": 15692,
    "rabbitmq_dist": 25682,
    "epmd": 14369,
    "redis": 16379,
    "kafka": 19092,
    "kafka_controller": 19093,
}
# Besides the processes' own: where the gateway speaks TLS, if it does
APPLICATION_PORTS = {name: process.port for name, process in PROCESSES.items() if process.port} | {"gateway_tls": 8443}
# Where processes without HTTP of their own serve their metrics for Prometheus
METRICS_PORTS = {
    metrics_port(name): process.metrics_port for name, process in PROCESSES.items() if process.metrics_port
}
PORTS = SERVER_PORTS | APPLICATION_PORTS | METRICS_PORTS
# 2000 would give the gateway port 10080, which browsers and Node refuse (https://fetch.spec.whatwg.org/#port-blocking).
OFFSETS = {"run": 0, "test": 1000, "test-2": 3000}


@dataclass(frozen=True)
class Profile:
    name: str
    ports: Mapping[str, int]
    # Added to every port of `run`. profile.json remembers it for profiles other than `run` and `test`
    offset: int = 0
    # Holds the folders of all profiles
    home: Path = field(default_factory=lambda: LOCAL)

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def is_for_tests(self) -> bool:
        """Whether its data may be lost when the machine crashes: its servers then do not wait for the disk."""
        return self.name != "run"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def answered(self, server: str) -> Path:
        """A file with the pid of the server process that answered last; missing if none ever did."""
        return self.folder / f"{server}.answered"

    def create(self) -> None:
        """Creates the folder, and profile.json in it for later calls."""
        self.logs.mkdir(parents=True, exist_ok=True)
        # Addresses and e-mail addresses of people are in them.
        self.logs.chmod(0o700)
        note = json.dumps({"offset": self.offset}) + "\n"
        target = self.folder / "profile.json"
        if not target.is_file() or target.read_text() != note:
            write_atomically(target, note)


def load(name: str, environ: Mapping[str, str], offset: int | None = None) -> Profile:
    """The profile called `name`. Raises StackError if its ports are unknown or invalid."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == TOOLS.name:
        raise StackError(f"{name!r} cannot be the name of a profile: use lower-case letters, digits and dashes.")
    chosen = _offset(name, offset)
    ports = {port: _port(port, number + chosen, environ) for port, number in PORTS.items()}
    twice = sorted({number for number in ports.values() if list(ports.values()).count(number) > 1})
    if twice:
        names = " and ".join(variable(port) for port, number in ports.items() if number == twice[0])
        raise StackError(f"Port {twice[0]} is asked for twice, by {names}; give each a port of its own.")
    return Profile(name=name, ports=ports, offset=chosen)


def beside(profile: Profile, environ: Mapping[str, str]) -> Profile:
    """The profile for what runs beside this one at the same time: `test-2` of `test`."""
    name = f"{profile.name}-2"
    is_known = name in OFFSETS or (LOCAL / name / "profile.json").is_file()
    return load(name, environ, None if is_known else profile.offset + 1000)


def variable(port: str) -> str:
    """The environment variable that overrides a port."""
    return f"MUCKARD_{port.upper()}_PORT"


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file so that an interruption leaves either the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _offset(name: str, offset: int | None) -> int:
    if name in OFFSETS:
        if offset not in (None, OFFSETS[name]):
            raise StackError(f"The profile {name} has ports of its own; --port-offset is for other profiles.")
        return OFFSETS[name]
    note = LOCAL / name / "profile.json"
    known = json.loads(note.read_text())["offset"] if note.is_file() else None
    if offset is None and known is None:
        raise StackError(f"The profile {name} is new: say where its ports begin, for example --port-offset 2000.")
    if offset is not None and known not in (None, offset):
        raise StackError(
            f"The profile {name} has --port-offset {known}; stop it and remove {note.parent} to change that."
        )
    return int(offset if offset is not None else known or 0)


def _port(name: str, number: int, environ: Mapping[str, str]) -> int:
    text = environ.get(variable(name), "")
    if text and not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StackError(f"{variable(name)}={text!r} is not a port: use a number from 1 to 65535.")
    if not text and not 0 < number < 65536:
        raise StackError(f"The port of {name} would be {number}: choose another --port-offset.")
    return int(text) if text else number
