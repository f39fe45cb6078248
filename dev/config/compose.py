"""Whether the compose files say the same as the process table. Runs in the venv: `python -m dev.config.compose`."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from apps.core.process_table import PROCESSES, Process
from dev.base.secrets import ROLES
from dev.config.containers import FILES

# Of a container: only its network reaches it.
ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104
WITNESS = "/var/lib/muckard/witness/notes"
# Beside the processes: what runs once before they start, and commands for operators
SETUP, TOOLS = "setup", "tools"
# Networks have the names of what they lead to. The gateway alone is reachable from outside.
GATEWAY_NETWORKS = {"services", "outside"}


def differences(services: Mapping[str, Mapping[str, Any]], table: Mapping[str, Process]) -> list[str]:
    """A sentence for each difference between the services of the microservices file and the process table."""
    found = [
        f"{name}: the process table has it, the compose file has no such service."
        for name in table.keys() - services.keys()
    ]
    found += [
        f"{name}: is no process of the process table." for name in services.keys() - table.keys() - {SETUP, TOOLS}
    ]
    for name in table.keys() & services.keys():
        found += [f"{name}: {difference}" for difference in _differences(services[name], table[name])]
    return sorted(found)


def _differences(service: Mapping[str, Any], process: Process) -> Iterator[str]:
    signal = service.get("stop_signal", "SIGTERM").removeprefix("SIG")
    if signal != process.stop_signal:
        yield f"stop_signal is {signal}, the process table says {process.stop_signal}."
    grace = int(service.get("stop_grace_period", "10s").removesuffix("s"))
    if grace < process.stop_seconds:
        yield f"stop_grace_period is {grace} s, the process table says {process.stop_seconds} s."
    networks = set(service.get("networks", ()))
    needed = GATEWAY_NETWORKS if process.kind == "gateway" else set(process.needs)
    if networks != needed:
        yield f"it is in the networks {_listed(networks)}, and needs {_listed(needed)} by the process table."
    yield from (f"{limit} limits nothing." for limit in ("mem_limit", "cpus", "pids_limit") if not service.get(limit))
    if process.kind == "gateway":
        return
    mounted, read = secrets(service), secrets_of(process)
    if mounted != read:
        yield f"it has the secrets {_listed(mounted)}, and reads {_listed(read)} by the process table."
    given = service["environment"]
    wanted = process.environment(metrics_address=ADDRESS, metrics_port=process.metrics_port)
    if process.kind == "web":
        wanted["HEALTH_PORT"] = str(process.port)
    for variable in ("SERVICE", "MUCKARD_PROCESS", "MUCKARD_DB_ROLE", "MUCKARD_METRICS_PORT", "HEALTH_PORT"):
        if given.get(variable) != wanted.get(variable):
            yield f"{variable} is {given.get(variable)!r}, the process table says {wanted.get(variable)!r}."
    if "MUCKARD_METRICS_PORT" in wanted and given.get("MUCKARD_METRICS_ADDRESS") != wanted["MUCKARD_METRICS_ADDRESS"]:
        yield "MUCKARD_METRICS_ADDRESS must be 0.0.0.0: another container reads the metrics."
    command = shlex.join(process.command(address=ADDRESS, port=process.port, witness=WITNESS))
    text = service["command"] if isinstance(service["command"], str) else service["command"][-1]
    # Flower's follows an assignment: its password is read from a file.
    if not (text == command or (process.kind == "flower" and text.endswith(f" exec {command}"))):
        yield f"its command is {text!r}, the process table says {command!r}."


def secrets(service: Mapping[str, Any]) -> set[str]:
    """The secrets that a service mounts, by the names of their files, without our prefix."""
    targets = (Path(each["target"]).name if isinstance(each, dict) else each for each in service.get("secrets", ()))
    return {target.removeprefix("muckard_") for target in targets}


def secrets_of(process: Process) -> set[str]:
    """What a process reads: its own, its log-in to PostgreSQL, and the addresses of the other servers that it needs."""
    role = process.role or next((role for role, folder in ROLES.items() if folder == process.service), "")
    password = {f"db_password_{role}"} if "postgres" in process.needs else set()
    addresses = {f"{server}_url" for server in ("rabbitmq", "redis") if server in process.needs}
    # The queue page of Flower asks the management plugin.
    management = {"rabbitmq_management_url"} if process.kind == "flower" else set()
    return {*process.secrets, *password, *addresses, *management}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def main() -> int:
    services = yaml.safe_load(FILES[1].read_text(encoding="utf-8"))["services"]
    found = differences(services, PROCESSES)
    for difference in found:
        print(f"{FILES[1].name}: {difference}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
