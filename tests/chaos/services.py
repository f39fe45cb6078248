"""The HTTP services of the platform on the servers that chaos breaks, as far as a command needs them."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from apps.ops.smoke_test.client import PlatformClient
from tests.chaos.fleet import end_gently
from tests.chaos.stack import Stack
from tests.support.ports import free_ports
from tests.support.waiting import comes_true
from tests.support.workers.processes import ROOT

PASSWORD = "correct horse battery staple"


@contextmanager
def services(stack: Stack, folder: Path) -> Iterator[dict[str, PlatformClient]]:
    """user, kraken and paper, each under gunicorn on a port of its own. The clients have no token yet."""
    ports = dict(zip(("user", "kraken", "paper"), free_ports(3), strict=True))
    projects = {"user": "user_service", "kraken": "kraken_service", "paper": "paper_exchange"}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    common = stack.environment | {"MUCKARD_PAPER_EXCHANGE_URL": urls["paper"]}
    stack.manage("restart_market", "--if-ended", SERVICE="paper", DJANGO_SETTINGS_MODULE="paper_exchange.settings")
    with ExitStack() as started:
        for name, project in projects.items():
            own = common | {"SERVICE": name, "DJANGO_SETTINGS_MODULE": f"{project}.settings"}
            bind = f"127.0.0.1:{ports[name]}"
            command = ["-m", "gunicorn", f"{project}.wsgi:application", "--bind", bind, "--threads", "4"]
            log = started.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, *command, "--no-control-socket"], cwd=ROOT, env=own, stdout=log, stderr=log
            )
            started.callback(end_gently, process)
        for name, url in urls.items():
            wait_for(url, folder / f"{name}.log")
        yield {name: PlatformClient(url) for name, url in urls.items()}


def wait_for(url: str, log: Path) -> None:
    assert comes_true(lambda: _is_live(url), seconds=30), f"{url} does not answer:\n{log.read_text()[-3000:]}"


def _is_live(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/health/live", timeout=1).status_code == 200
    return False
