"""Each service starts, answers and takes commands with RabbitMQ, Kafka and Redis down."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from apps.ops.smoke_test.client import Json, PlatformClient
from apps.ops.smoke_test.steps import BOT, until
from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {"user": "user_service", "kraken": "kraken_service", "bot": "bot_service"}

pytestmark = pytest.mark.timeout(180)


@contextmanager
def _service_without_brokers(service: str, tmp_path: Path) -> Iterator[str]:
    """A service of its own, as in production but with addresses of brokers behind which nobody listens."""
    port, nobody = free_ports(2)
    environment = {
        **os.environ,
        "SERVICE": service,
        "MUCKARD_ENVIRONMENT": "development",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "RABBITMQ_URL": f"amqp://nobody:nothing@127.0.0.1:{nobody}//",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
    }
    application = f"{PROJECTS[service]}.wsgi:application"
    command = ["-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}", "--threads", "4", "--no-control-socket"]
    with (tmp_path / f"{service}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        try:
            if requests.get(f"{url}/health/live", timeout=1).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    pytest.fail("the service did not answer")


@pytest.mark.parametrize("service", sorted(PROJECTS))
def test_a_service_starts_and_says_what_is_down(platform_url: str, service: str, tmp_path: Path) -> None:
    with _service_without_brokers(service, tmp_path) as url:
        body = requests.get(f"{url}/health/ready", timeout=5)

    assert (body.status_code, body.json()["status"]) == (200, "degraded")
    assert "redis" in body.json()["degraded"]


def test_reads_and_log_ins_work_without_brokers(
    log_in: Callable[[], PlatformClient], tmp_path: Path, platform_url: str
) -> None:
    token = log_in().token
    with _service_without_brokers("user", tmp_path) as url:
        assert PlatformClient(url, token).get("/api/v1/user/me")["email"]
    with _service_without_brokers("kraken", tmp_path) as url:
        assert PlatformClient(url, token).get("/api/v1/bot") is not None
        assert PlatformClient(url, token).get("/api/v1/trading/pairs") is not None


def test_a_command_given_without_brokers_is_accepted_and_carried_out(
    log_in: Callable[[], PlatformClient], tmp_path: Path
) -> None:
    client = log_in()
    key = client.post("/api/v1/kraken/connect", {"label": "alone", "mode": "paper"})
    bot = client.post("/api/v1/bot", {**BOT, "credential_id": key["id"]})
    with _service_without_brokers("kraken", tmp_path) as url:
        command = PlatformClient(url, client.token).post(f"/api/v1/bot/{bot['id']}/start")

    def receipt() -> Json:
        return client.get(f"/api/v1/bot/{bot['id']}/commands/{command['id']}")

    assert until(receipt, lambda body: body["state"] == "done", "the receipt", 30)["state"] == "done"
    client.post(f"/api/v1/bot/{bot['id']}/stop")
