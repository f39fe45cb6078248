"""Alerts, recording rules and dashboards name metrics that exist, and each alert has a runbook whose commands exist."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from apps.core.metrics import Declaration
from apps.ops.metrics_page import PYTHON, RABBITMQ, declarations
from dev.base.profile import ROOT
from dev.config import prometheus
from dev.install import promtool
from tests.support.promql import histogram_of, labels_selected, metrics_named

PROMETHEUS = ROOT / "docker" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))
SECTIONS = ["What it means", "What to look at", "What to do"]
# Of a scrape, and of every sample
SCRAPED = {"up"}
TARGET_LABELS = {"job", "instance", "le"}


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression with where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]


@pytest.fixture(scope="module")
def declared() -> dict[str, Declaration]:
    return declarations()


def test_every_metric_that_a_rule_or_dashboard_names_is_exported(declared: dict[str, Declaration]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = set(declared) | recorded | set(RABBITMQ) | set(PYTHON) | SCRAPED
    histograms = {name for name, each in declared.items() if each.kind == "histogram"}

    unknown = {
        (where, name)
        for where, expression in expressions()
        for name in metrics_named(expression)
        if name not in known and histogram_of(name) not in histograms
    }

    assert unknown == set()


def test_every_label_that_a_rule_or_dashboard_selects_is_one_of_the_metrics(declared: dict[str, Declaration]) -> None:
    wrong = {
        (where, name, label)
        for where, expression in expressions()
        for name, labels in labels_selected(expression).items()
        if (each := declared.get(name) or declared.get(histogram_of(name))) is not None
        for label in labels - set(each.labels) - TARGET_LABELS
    }

    assert wrong == set()


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in alerts()}))
def test_each_alert_has_a_runbook_with_its_three_sections(name: str) -> None:
    named = {rule["annotations"]["runbook_url"] for rule in alerts() if rule["alert"] == name}
    assert named == {f"docs/runbooks/{name}.md"}

    page = (RUNBOOKS / f"{name}.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.M) == SECTIONS
    assert all(part.strip() for part in re.split(r"^#+ .*$", page, flags=re.M)[2:])


def test_each_alert_says_how_urgent_it_is_and_what_happened() -> None:
    assert {rule["labels"]["severity"] for rule in alerts()} == {"page", "ticket"}
    assert [rule["alert"] for rule in alerts() if not rule["annotations"].get("summary")] == []


def test_no_runbook_is_left_over() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_what_a_runbook_names_exists(path: Path, declared: dict[str, Declaration], code: str) -> None:
    text = path.read_text()
    commands = set(re.findall(r"manage\.py (\w+)", text))
    assert commands - set(get_commands()) == set()

    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not (path.parent / link).is_file()] == []

    # Metrics, log events and settings
    named = set(re.findall(r"`([a-zA-Z]+(?:_[a-zA-Z]+)+)[`{=]", text))
    known = set(declared) | set(RABBITMQ) | {"vm_memory_high_watermark"}
    assert {
        name
        for name in named
        if histogram_of(name) not in known and name not in code and name.removeprefix("MUCKARD_").lower() not in code
    } - OF_SERVERS == set()


# PostgreSQL's own
OF_SERVERS = {"pg_stat_activity", "pg_terminate_backend", "max_connections"}


def test_the_scrape_configuration_and_the_process_rules_follow_the_process_table() -> None:
    assert [path for path, text in prometheus.files().items() if path.read_text() != text] == []


@pytest.fixture(scope="module")
def code() -> str:
    folders = ("apps", "platform", "dev")
    return "\n".join(source.read_text() for folder in folders for source in (ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def program() -> str:
    found = promtool.find()
    if found is None:
        pytest.skip("promtool is not on this machine: apt-get download prometheus brings it (dev/install/promtool.py)")
    return found


def run(program: str, *arguments: str) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_every_rule(program: str, tmp_path: Path) -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
    # Relative to the folder of the file, where no Alertmanager is named
    copy = tmp_path / "prometheus.yml"
    copy.write_text(yaml.dump(configuration))

    run(program, "check", "config", str(copy))
    run(program, "check", "rules", *map(str, RULE_FILES))


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_rules_fire_when_they_should_and_not_else(program: str, path: Path) -> None:
    run(program, "test", "rules", str(path))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_an_address_of_its_own_and_asks_the_provisioned_source(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    source = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())

    assert dashboard["uid"] == path.stem
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert used == {source["datasources"][0]["uid"]}
