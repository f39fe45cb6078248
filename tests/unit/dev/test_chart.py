"""docker/helm: what the chart renders, against the process table, and which values it refuses."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.core.process_table import PROCESSES
from dev.base.profile import ROOT
from dev.base.secrets import ROLES
from dev.config.chart import COMPONENT, Manifest, by_component, differences, mounted_secrets

CHART = ROOT / "docker" / "helm" / "muckard"
PRODUCTION = yaml.safe_load((CHART / "values-production.yaml").read_text())
INGRESS: dict[str, Any] = {"enabled": True, "host": "trade.example.com"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an autoscaler whose minimum is above its maximum": (
        {"processes": {"worker": {"autoscaling": {"enabled": True, "min": 5, "max": 2}}}},
        r"processes\.worker\.autoscaling: min is 5, above max, which is 2",
    ),
    "two of what may run once": (
        {"processes": {"checkpointer": {"replicas": 2}}},
        r"processes\.checkpointer\.replicas: a second one does harm or nothing",
    ),
    "an autoscaler for what waits for leases": (
        {"processes": {"relay": {"autoscaling": {"enabled": True}}}},
        r"processes\.relay\.autoscaling: only services, workers and the gateway scale",
    ),
    "a process that is none": ({"processes": {"relais": {}}}, r"processes\.relais: the process table has no such"),
    "more replicas than two brokers hold": (
        {"servers": {"kafka": {"brokers": 2, "replicationFactor": 3}}},
        r"replicationFactor.*maximum",
    ),
    "more replicas than five brokers hold": (
        {"servers": {"kafka": {"brokers": 5, "replicationFactor": 7}}},
        r"there are 5 brokers, which cannot hold 7 replicas",
    ),
    "TLS of PostgreSQL without an authority": ({"servers": {"postgres": {"tls": {"enabled": True}}}}, r"caSecret"),
    "TLS of the gateway without a secret": (
        {"publicUrl": "https://trade.example.com", "gateway": {"tls": {"enabled": True}}},
        r"existingSecret",
    ),
    "TLS of the ingress without a secret": (
        {"publicUrl": "https://trade.example.com", "gateway": {"ingress": INGRESS | {"tls": {"enabled": True}}}},
        r"secretName",
    ),
    "an ingress without a host": ({"gateway": {"ingress": {"enabled": True}}}, r"host"),
    "TLS for clients who are told of a plain address": (
        {"gateway": {"ingress": INGRESS | {"tls": {"enabled": True, "secretName": "t"}}}},
        r"publicUrl: clients come by https",
    ),
    "a market without a volume": ({"market": {"file": "XBTUSD_60.csv"}}, r"market\.existingClaim"),
    "a secret among the settings": ({"settings": {"MUCKARD_VAULT_KEY": "abc"}}, r"MUCKARD_VAULT_KEY"),
    "a setting that the chart makes itself": ({"settings": {"MUCKARD_PUBLIC_URL": "http://a"}}, r"MUCKARD_PUBLIC_URL"),
    "everybody as a trusted proxy": ({"gateway": {"trustedProxies": ["0.0.0.0/0"]}}, r"trustedProxies"),
    "a name that no value has": ({"imagee": {"tag": "1"}}, r"imagee"),
}  # fmt: skip
KEDA = {"workerAutoscaling": {"by": "keda"}, "processes": {"worker": {"autoscaling": {"enabled": True}}}}
TLS_GATEWAY = {"publicUrl": "https://a.example", "gateway": {"tls": {"enabled": True, "existingSecret": "gateway"}}}
MARKET = {"market": {"existingClaim": "market", "file": "XBTUSD_60.csv"}}
ELSEWHERE = {"secrets": {"keys": {"rabbitmq_url": {"secret": "rabbitmq-default-user", "key": "connection_string"}}}}
OPEN = {"networkPolicies": {"enabled": False}, "podDisruptionBudgets": {"enabled": False}}
RENDERED: dict[str, dict[str, Any]] = {
    "default": {},
    "production": PRODUCTION,
    "keda": KEDA,
    "tls": TLS_GATEWAY,
    "market": MARKET,
    "elsewhere": ELSEWHERE,
    "open": OPEN,
}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """What Helm makes of each set of values, rendered by one process."""
    values = {**RENDERED, **{title: refused for title, (refused, _) in REFUSED.items()}}
    done = subprocess.run(
        [sys.executable, "-m", "dev.config.helm", "--render"],
        input=json.dumps(list(values.values())),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(values, json.loads(done.stdout), strict=True))


def rendered(answers: dict[str, dict[str, Any]], title: str) -> list[Manifest]:
    assert "manifests" in answers[title], answers[title]
    manifests: list[Manifest] = answers[title]["manifests"]
    return manifests


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in ("Deployment", "Job")]


def pod(workload: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("title", ["default", "production"])
def test_the_deployments_are_the_processes_of_the_process_table(answers: dict[str, Any], title: str) -> None:
    assert list(differences(rendered(answers, title), PROCESSES)) == []


def test_a_deployment_that_differs_from_the_process_table_is_named(answers: dict[str, Any]) -> None:
    manifests = copy.deepcopy(rendered(answers, "default"))
    deployments = by_component(manifests, "Deployment")
    container = pod(deployments["relay"])["containers"][0]
    container["command"] = ["python", "manage.py", "relay"]
    container["ports"][0]["containerPort"] = 1
    del container["livenessProbe"]
    pod(deployments["worker"])["terminationGracePeriodSeconds"] = 5
    pod(deployments["scheduler"])["volumes"][1]["projected"]["sources"].pop()
    deployments["checkpointer"]["spec"]["replicas"] = 2
    manifests.remove(deployments["mailer"])

    found = "\n".join(differences(manifests, PROCESSES))

    for sentence in (
        "mailer: has no Deployment.",
        "relay: its command is 'python manage.py relay'",
        "relay: its port is 1, the process table says 9101.",
        "relay: it has no livenessProbe.",
        "worker: it is killed after 5 s, the process table says 20 s.",
        "scheduler: it has the secrets",
        "checkpointer: there may be two of it",
    ):
        assert sentence in found


@pytest.mark.parametrize("title", REFUSED)
def test_values_that_contradict_each_other_are_refused(answers: dict[str, Any], title: str) -> None:
    assert re.search(REFUSED[title][1], answers[title].get("refused", ""), re.DOTALL), answers[title].get("refused")


@pytest.mark.parametrize("title", RENDERED)
def test_every_pod_is_confined(answers: dict[str, Any], title: str) -> None:
    for workload in workloads(rendered(answers, title)):
        spec = pod(workload)
        assert not spec["automountServiceAccountToken"]
        # Variables such as MUCKARD_USER_PORT, which Kubernetes makes of services, are settings of ours.
        assert not spec["enableServiceLinks"]
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
            }  # fmt: skip
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
            assert container["resources"]["limits"]["memory"]


def test_no_secret_is_part_of_a_manifest_and_every_variable_comes_once(answers: dict[str, Any]) -> None:
    for title in RENDERED:
        manifests = rendered(answers, title)
        assert not [each for each in manifests if each["kind"] == "Secret"]
        for workload in workloads(manifests):
            names = [each["name"] for each in pod(workload)["containers"][0]["env"]]
            assert len(names) == len(set(names))
            assert not [name for name in names if re.search("PASSWORD$|_KEY$|RABBITMQ_URL|REDIS_URL", name)]


def test_each_name_of_a_secret_is_one_that_compose_has_too(answers: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "docker" / "docker-compose.microservices.yml").read_text())
    keys = {
        item["key"]
        for workload in workloads(rendered(answers, "default"))
        for volume in pod(workload)["volumes"] if "projected" in volume
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }  # fmt: skip

    assert keys == compose["secrets"].keys() & keys
    assert not {name for name in compose["secrets"] if name not in keys} - {"bot_secret_key", "audit_signing_key"}


def test_the_set_up_runs_before_the_pods_topology_first(answers: dict[str, Any]) -> None:
    jobs = by_component(rendered(answers, "production"), "Job")
    topology, migrations = jobs["topology"], jobs["migrations"]

    for job in (topology, migrations):
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        # What a hook mounts must be there before the release is.
        assert "serviceAccountName" not in pod(job)
    weights = [int(job["metadata"]["annotations"]["helm.sh/hook-weight"]) for job in (topology, migrations)]
    assert weights == sorted(weights)
    assert pod(topology)["containers"][0]["command"] == ["python", "manage.py", "declare_topology"]
    assert pod(migrations)["containers"][0]["command"] == ["python", "manage.py", "setup_platform"]
    assert "database_url" not in mounted_secrets(topology)
    assert {f"db_password_{role}" for role in ROLES} < mounted_secrets(migrations)
    # What compose's container of the same work has
    service = yaml.safe_load((ROOT / "docker/docker-compose.microservices.yml").read_text())["services"]["setup"]
    given = {Path(each["target"]).name.removeprefix("muckard_") for each in service["secrets"]}
    assert mounted_secrets(migrations) - {"kafka_username", "kafka_password"} == given


def test_production_survives_the_loss_of_one_of_each(answers: dict[str, Any]) -> None:
    manifests = rendered(answers, "production")
    scaled = by_component(manifests, "HorizontalPodAutoscaler")
    budgets = by_component(manifests, "PodDisruptionBudget")
    single = {name for name, process in PROCESSES.items() if process.replicas == "one"}

    for name, deployment in by_component(manifests, "Deployment").items():
        least = scaled[name]["spec"]["minReplicas"] if name in scaled else deployment["spec"]["replicas"]
        assert (least == 1) == (name in single)
        # A budget for a single pod would keep its node from being emptied.
        assert (name in budgets) == (name not in single)
        assert ("topologySpreadConstraints" in pod(deployment)) == (name not in single)
        environment = {each["name"]: each.get("value") for each in pod(deployment)["containers"][0]["env"]}
        assert name == "gateway" or environment["MUCKARD_KAFKA_REPLICATION_FACTOR"] == "3"
    assert set(scaled) == {"user", "kraken", "worker", "worker-high", "worker-ticks"}


def test_workers_scale_by_the_messages_that_wait(answers: dict[str, Any]) -> None:
    external = by_component(rendered(answers, "production"), "HorizontalPodAutoscaler")["worker"]
    (keda,) = (each for each in rendered(answers, "keda") if each["kind"] == "ScaledObject")

    queues = list(PROCESSES["worker"].queues)
    metrics = external["spec"]["metrics"]
    assert [each["external"]["metric"]["selector"]["matchLabels"]["queue"] for each in metrics] == queues
    assert [each["metadata"]["queueName"] for each in keda["spec"]["triggers"]] == queues
    assert not by_component(rendered(answers, "keda"), "HorizontalPodAutoscaler")


def test_nothing_is_reachable_but_what_is_needed(answers: dict[str, Any]) -> None:
    manifests = rendered(answers, "default")
    policies = by_component(manifests, "NetworkPolicy")
    default = policies.pop("default")["spec"]

    assert policies.keys() == PROCESSES.keys() | {"topology", "migrations"}
    assert default["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in default
    for name, policy in policies.items():
        needs = PROCESSES[name].needs if name in PROCESSES else ()
        outside = [rule for rule in policy["spec"]["egress"] if "ipBlock" in rule.get("to", [{}])[0]]
        assert bool(outside) == ("internet" in needs)
        from_anywhere = [rule for rule in policy["spec"]["ingress"] or () if "from" not in rule]
        assert bool(from_anywhere) == (name == "gateway")


def test_the_gateway_asks_the_services_by_their_whole_names(answers: dict[str, Any]) -> None:
    manifests = rendered(answers, "default")
    gateway = pod(by_component(manifests, "Deployment")["gateway"])["containers"][0]
    environment = {each["name"]: each.get("value") for each in gateway["env"]}
    names = {name for name, process in PROCESSES.items() if process.port and name != "gateway"}

    for name in names:
        assert environment[f"{name.upper()}_UPSTREAM"] == (
            f"muckard-{name}.trade.svc.cluster.local:{PROCESSES[name].port}"
        )
    (files,) = (each for each in manifests if each["kind"] == "ConfigMap")
    assert files["data"] == {path.name: path.read_text() for path in (ROOT / "nginx").iterdir()}


def test_options_reach_the_pods(answers: dict[str, Any]) -> None:
    paper = pod(by_component(rendered(answers, "market"), "Deployment")["paper"])
    migrations = pod(by_component(rendered(answers, "market"), "Job")["migrations"])
    for spec in (paper, migrations):
        assert {"name": "MARKET_DATA", "value": "/market/XBTUSD_60.csv"} in spec["containers"][0]["env"]
    tls = pod(by_component(rendered(answers, "tls"), "Deployment")["gateway"])["containers"][0]
    assert tls["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    relay = pod(by_component(rendered(answers, "elsewhere"), "Deployment")["dispatcher"])
    sources = relay["volumes"][1]["projected"]["sources"]
    assert {
        "secret": {
            "name": "rabbitmq-default-user",
            "items": [{"key": "connection_string", "path": "rabbitmq_url"}],
        }
    } in sources
    kinds = {each["kind"] for each in rendered(answers, "open")}
    assert not kinds & {"NetworkPolicy", "PodDisruptionBudget"}


def test_every_manifest_says_what_it_is_of(answers: dict[str, Any]) -> None:
    for manifest in rendered(answers, "production"):
        assert manifest["metadata"]["labels"][COMPONENT]
        assert manifest["metadata"]["namespace"] == "trade"


def test_the_check_names_copies_that_differ_or_have_no_original(tmp_path: Path) -> None:
    # Imported by a process of its own alone: the library behind it stays out of this one.
    script = f"""
from pathlib import Path
from dev.config import helm
helm.COPIES = Path({str(tmp_path)!r})
helm.copy()
assert helm.outdated() == [], helm.outdated()
(helm.COPIES / "processes.toml").write_text("")
(helm.COPIES / "nginx" / "of_before.conf").write_text("")
print(*(path.name for path in helm.outdated()))
helm.copy()
print(len(helm.outdated()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.splitlines() == ["of_before.conf processes.toml", "0"], done.stderr


def test_the_chart_carries_its_files_itself() -> None:
    """A link that leads out of the chart is lost where the chart is packed or copied."""
    assert [path for path in CHART.rglob("*") if path.is_symlink()] == []
