"""Whether what the Helm chart renders says the same as the process table; dev/config/helm.py renders it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apps.core.process_table import Process
from dev.config.compose import ADDRESS, WITNESS, secrets_of

COMPONENT = "app.kubernetes.io/component"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# Secrets of servers' and mail's options, which the process table does not know
OPTIONAL_SECRETS = frozenset({"kafka_username", "kafka_password", "smtp_url"})
# By port, which the values of the chart keep apart
SERVERS = {
    5432: "postgres",
    6379: "redis",
    6380: "redis",
    5671: "rabbitmq",
    5672: "rabbitmq",
    9092: "kafka",
    9093: "kafka",
}  # fmt: skip
Manifest = dict[str, Any]


def differences(manifests: Sequence[Manifest], table: Mapping[str, Process]) -> Iterator[str]:
    """A sentence for each difference between the rendered chart and the process table."""
    deployments = by_component(manifests, "Deployment")
    yield from (f"{name}: has no Deployment." for name in sorted(table.keys() - deployments.keys()))
    yield from (f"{name}: is no process of the process table." for name in sorted(deployments.keys() - table.keys()))
    services = by_component(manifests, "Service")
    policies = by_component(manifests, "NetworkPolicy")
    for name in sorted(table.keys() & deployments.keys()):
        process = table[name]
        found = [*_differences(deployments[name], process)]
        served = services[name]["spec"]["ports"][0]["port"] if name in services else 0
        if served != process.port:
            found.append(f"its Service has the port {served}, the process table says {process.port}.")
        needed = set(process.needs) & set(SERVERS.values())
        if policies and (reached := _servers(policies[name])) != needed:
            found.append(f"it may reach {_listed(reached)}, and needs {_listed(needed)}.")
        yield from (f"{name}: {sentence}" for sentence in found)


def by_component(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by the process that they are of."""
    return {each["metadata"]["labels"][COMPONENT]: each for each in manifests if each["kind"] == kind}


def _differences(deployment: Manifest, process: Process) -> Iterator[str]:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    if (grace := pod["terminationGracePeriodSeconds"]) < process.stop_seconds:
        yield f"it is killed after {grace} s, the process table says {process.stop_seconds} s."
    is_single = deployment["spec"].get("replicas") == 1 and deployment["spec"]["strategy"]["type"] == "Recreate"
    if process.replicas == "one" and not is_single:
        yield "there may be two of it, the process table allows one."
    port = container["ports"][0]["containerPort"]
    if port != (process.port or process.metrics_port):
        yield f"its port is {port}, the process table says {process.port or process.metrics_port}."
    yield from (f"it has no {probe}." for probe in PROBES if probe not in container)
    if process.kind == "gateway":
        return
    command = shlex.join(process.command(address=ADDRESS, port=process.port, witness=WITNESS))
    given: list[str] = container["command"]
    # Flower's follows an assignment: its password is read from a file.
    if not (shlex.join(given) == command or (process.kind == "flower" and given[-1].endswith(f" exec {command}"))):
        yield f"its command is {shlex.join(given)!r}, the process table says {command!r}."
    environment = {each["name"]: each.get("value") for each in container["env"]}
    for name, value in process.environment(metrics_address=ADDRESS, metrics_port=process.metrics_port).items():
        if environment.get(name) != value:
            yield f"{name} is {environment.get(name)!r}, the process table says {value!r}."
    mounted, read = mounted_secrets(deployment) - OPTIONAL_SECRETS, secrets_of(process)
    if mounted != read:
        yield f"it has the secrets {_listed(mounted)}, and reads {_listed(read)} by the process table."


def mounted_secrets(workload: Manifest) -> set[str]:
    """The secrets that a Deployment or Job mounts, by the names that settings have."""
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    sources = next(volume["projected"]["sources"] for volume in volumes if volume["name"] == "secrets")
    return {item["path"].removeprefix("muckard_") for source in sources for item in source["secret"]["items"]}


def _servers(policy: Manifest) -> set[str]:
    """The servers that a policy lets pods reach."""
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", ())}
    return {SERVERS[port] for port in ports if port in SERVERS}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
