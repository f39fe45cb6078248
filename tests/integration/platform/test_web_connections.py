"""A web process under more load than it has threads: its connections to PostgreSQL stay within their number."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dev.base.profile import ROOT
from tests.support.gateway import Gateways, wait_for
from tests.support.ports import free_ports

APPLICATION = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "kraken_service.settings"
import django
django.setup()
from django.db import connection

def application(environ, start_response):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05)")
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muckard-kraken'")
        open_now = str(cursor.fetchone()[0]).encode()
    start_response("200 OK", [("Content-Length", str(len(open_now)))])
    return [open_now]
"""
CONNECTIONS, CLIENTS = 6, 40


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "asking.py").write_text(APPLICATION)
    (number,) = free_ports(1)
    processes = Gateways(tmp_path)
    processes.run(
        [str(Path(sys.executable).with_name("gunicorn")), "--config", "python:service_common.gunicorn_config",
         "asking:application", "--bind", f"127.0.0.1:{number}"],
        tmp_path,
        os.environ | {
            "SERVICE": "kraken", "MUCKARD_PROCESS": "kraken", "MUCKARD_DB_ROLE": "owner",
            "MUCKARD_ENVIRONMENT": "development",
            "MUCKARD_WEB_WORKERS": "2", "MUCKARD_WEB_CONNECTIONS": str(CONNECTIONS),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}:{tmp_path}",
        },
    )  # fmt: skip
    wait_for(number, seconds=30)
    yield number
    processes.end()


def _ask(port: int) -> tuple[int, int]:
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", "/")
    response = client.getresponse()
    body = response.read()
    client.close()
    return response.status, int(body)


def test_connections_stay_within_their_number_whatever_the_load(port: int) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(_ask, [port] * CLIENTS))

    assert {status for status, _ in answers} == {200}
    assert 1 < max(count for _, count in answers) <= CONNECTIONS
