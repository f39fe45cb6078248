"""The web services of the platform once more, behind a gateway of their own, with every limit lifted.

They share database, brokers and workers with the platform that `platform_url` starts. Quotas are off, and a caller may
say from which address it comes, so that what is counted per address can be spread.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.core.process_table import PROCESSES
from dev.base.profile import ROOT
from tests.support.gateway import Gateway, Gateways, wait_for

SERVICES = ("user", "kraken", "stream", "staff")
_LIMITS = {
    "MUCKARD_TRUSTED_PROXIES": "127.0.0.1",
    "MUCKARD_GATEWAY_RATE": "100000",
    "MUCKARD_GATEWAY_BURST": "100000",
    "MUCKARD_GATEWAY_AUTH_RATE": "100000",
    "MUCKARD_GATEWAY_AUTH_BURST": "100000",
    "MUCKARD_GATEWAY_WORKERS": "1",
}


@contextmanager
def open_gateway(home: Path) -> Iterator[Gateway]:
    """A gateway in front of each of SERVICES, and of nothing else. Its folders are below `home`."""
    paper = int(os.environ["MUCKARD_PAPER_EXCHANGE_URL"].rpartition(":")[2])
    gateways = Gateways(home)
    try:
        gateway = gateways.start("open", _LIMITS, absent=frozenset({*SERVICES, "bot", "flower"}), paper=paper)
        for service in SERVICES:
            gateways.run(_command(gateway, service), ROOT, _environment(service))
        for service in SERVICES:
            wait_for(gateway.profile.ports[service], seconds=60)
        yield gateway
    finally:
        gateways.end()


def _command(gateway: Gateway, service: str) -> list[str]:
    process = PROCESSES[service]
    program, *arguments = process.command(address="127.0.0.1", port=gateway.profile.ports[service], witness="")
    return [str(Path(sys.executable).with_name(program)), *arguments]


def _environment(service: str) -> dict[str, str]:
    return os.environ | {
        **PROCESSES[service].environment(metrics_address="127.0.0.1", metrics_port=0),
        "MUCKARD_ENVIRONMENT": "development",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
    }
