"""The HTTP services of the platform on the servers that chaos breaks, as far as a command needs them."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import requests

from apps.ops.smoke_test.client import PlatformClient
from tests.chaos.fleet import end_gently
from tests.chaos.stack import Stack
from tests.support.workers.processes import ROOT

PASSWORD = "correct horse battery staple"


@contextmanager
def services(stack: Stack, folder: Path) -> Iterator[dict[str, PlatformClient]]:
    """user, kraken and paper, each under gunicorn on a port of its own. The clients have no token yet."""
    ports = {name: free_port() for name in ("user", "kraken", "paper")}
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
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health/live", timeout=1).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()[-3000:]}")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
