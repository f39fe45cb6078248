"""The containers that monitor reach what they scrape, mount what is in docker/, and are closed to others."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from dev.base.profile import ROOT
from dev.config import containers, prometheus

FILE = ROOT / "docker" / "docker-compose.monitoring.yml"
MONITORING: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES = MONITORING["services"]


def test_the_file_is_what_the_compose_specification_says() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_prometheus_shares_a_network_with_everything_that_it_scrapes() -> None:
    scraped = {
        found["names"][0]
        for job in yaml.safe_load((prometheus.FOLDER / "prometheus.yml").read_text())["scrape_configs"]
        for found in job["dns_sd_configs"]
    }
    services = {
        name: set(service.get("networks", ()))
        for path in containers.FILES
        for name, service in yaml.safe_load(path.read_text())["services"].items()
    }

    reached = set(SERVICES["prometheus"]["networks"])

    assert {name for name in scraped if not services[name] & reached} == set()


def test_every_process_can_send_its_spans_to_jaeger() -> None:
    own = yaml.safe_load(containers.FILES[1].read_text())["services"]
    traced = {name: service for name, service in own.items() if "MUCKARD_TRACES" in service.get("environment", {})}

    reached = set(SERVICES["jaeger"]["networks"])

    # Flower makes no spans.
    assert {name for name, each in traced.items() if not set(each["networks"]) & reached} <= {"flower"}
    assert {"user", "worker", "relay", "dispatcher", "event-consumer"} <= set(traced)


@pytest.mark.parametrize("name", SERVICES)
def test_pages_are_for_this_machine_and_what_is_mounted_exists(name: str) -> None:
    service = SERVICES[name]

    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    folders = [volume.split(":")[0] for volume in service.get("volumes", ()) if volume.startswith("./")]
    assert [folder for folder in folders if not (FILE.parent / folder).is_dir()] == []
    assert all(service.get(limit) for limit in ("mem_limit", "cpus", "pids_limit"))
