"""Prometheus' scrape configuration and the rules about processes, written from the process table.

`python -m dev.config.prometheus` says whether the files are up to date, with `--write` it brings them there.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from apps.core.process_table import PROCESSES, Process
from dev.base.profile import ROOT, write_atomically

FOLDER = ROOT / "docker" / "prometheus"
HEADER = "# Written from apps/core/processes.toml: .venv/bin/python -m dev.config.prometheus --write\n"
RABBITMQ_PORT = 15692
# Queue by queue, and only what rules and dashboards use: https://www.rabbitmq.com/docs/prometheus#detailed-endpoint
RABBITMQ_FAMILIES = ("queue_coarse_metrics", "queue_consumer_count")


def scraped(processes: Mapping[str, Process]) -> dict[str, Process]:
    """The processes that have metrics: all but the gateway."""
    return {name: process for name, process in processes.items() if process.port or process.metrics_port}


def configuration(processes: Mapping[str, Process]) -> dict[str, Any]:
    """prometheus.yml. Names are resolved at each scrape interval, so that every instance of a process is found."""
    jobs = [_job(process) for process in scraped(processes).values() if process.kind != "gateway"]
    rabbitmq = _addresses("rabbitmq", RABBITMQ_PORT)
    return {
        "global": {"scrape_interval": "15s", "scrape_timeout": "5s", "evaluation_interval": "15s"},
        "rule_files": ["/etc/prometheus/rules/*.yml"],
        # Files below alertmanagers/ name the Alertmanagers that notify people; without any, alerts are shown only.
        "alerting": {
            "alertmanagers": [{"file_sd_configs": [{"files": ["/etc/prometheus/alertmanagers/*.yml"]}]}],
        },
        "scrape_configs": [
            *jobs,
            {"job_name": "rabbitmq", "dns_sd_configs": rabbitmq},
            {
                "job_name": "rabbitmq-queues",
                "metrics_path": "/metrics/detailed",
                "params": {"family": list(RABBITMQ_FAMILIES)},
                "dns_sd_configs": rabbitmq,
            },
        ],
    }


def process_rules(processes: Mapping[str, Process]) -> dict[str, Any]:
    """rules/processes.yml: an alert for each process of which no instance answers."""
    names = [process.name for process in scraped(processes).values() if process.kind != "gateway"]
    expected = " or ".join(f'label_replace(vector(1), "job", "{name}", "", "")' for name in names)
    return {
        "groups": [
            {
                "name": "processes",
                "rules": [
                    {
                        "alert": "ProcessDown",
                        "expr": f"({expected}) unless on (job) (up == 1)",
                        "for": "2m",
                        "labels": {"severity": "page"},
                        "annotations": {
                            "summary": "No instance of {{ $labels.job }} answers a scrape.",
                            "runbook_url": "docs/runbooks/ProcessDown.md",
                        },
                    }
                ],
            }
        ]
    }


def _job(process: Process) -> dict[str, Any]:
    job: dict[str, Any] = {"job_name": process.name}
    if process.kind == "flower":
        job["metrics_path"] = "/flower/metrics"
    return job | {"dns_sd_configs": _addresses(process.name, process.metrics_port or process.port)}


def _addresses(name: str, port: int) -> list[dict[str, Any]]:
    return [{"names": [name], "type": "A", "port": port}]


def files() -> dict[Path, str]:
    """What the files must contain."""
    return {
        FOLDER / "prometheus.yml": _text(configuration(PROCESSES)),
        FOLDER / "rules" / "processes.yml": _text(process_rules(PROCESSES)),
    }


def _text(content: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return HEADER + yaml.dump(content, Dumper=Plain, sort_keys=False, width=110)


def main() -> int:
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--write" in sys.argv:
        for path in stale:
            write_atomically(path, files()[path])
        return 0
    for path in stale:
        print(f"{path.relative_to(ROOT)} does not follow apps/core/processes.toml.")
    if stale:
        print("Write it again: .venv/bin/python -m dev.config.prometheus --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
