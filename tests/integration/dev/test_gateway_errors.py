"""What the gateway and gunicorn answer to requests that they cannot read: JSON in the one shape, whatever was sent."""

import json
import os
import socket
import sys
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from dev.base.profile import ROOT
from tests.support.gateway import Gateway, Gateways, wait_for
from tests.support.waiting import eventually

APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]
"""
HOST = b"Host: gateway.example\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def running(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """Behind it gunicorn, as the web processes have it, in the place of the kraken service."""
    limits = {"MUCKARD_GATEWAY_AUTH_RATE": "1", "MUCKARD_GATEWAY_AUTH_BURST": "1"}
    begun = gateways.start("errors", limits, absent=frozenset({"kraken", "staff", "console"}))
    folder = tmp_path_factory.mktemp("application")
    (folder / "answering.py").write_text(APPLICATION)
    port = begun.profile.ports["kraken"]
    gunicorn = Path(sys.executable).with_name("gunicorn")
    command = [str(gunicorn), "--config", "python:service_common.gunicorn_config", "answering:application"]
    gateways.run(
        [*command, "--bind", f"127.0.0.1:{port}", "--threads", "2"],
        folder,
        os.environ | {"SERVICE": "kraken", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}:{folder}"},
        output=begun.profile.log("kraken"),
    )
    wait_for(port, seconds=20)
    return begun


@dataclass(frozen=True)
class Raw:
    status: int
    headers: dict[str, str]
    body: bytes


def send(port: int, request: bytes) -> Raw:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin1"))
        response.begin()
        headers = {name.lower(): text for name, text in response.getheaders()}
        return Raw(response.status, headers, response.read())


def assert_one_shape(answer: Raw, *, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.body)["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert b"<" not in answer.body
    assert "x-accel-redirect" not in answer.headers


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        (b"GET /api/v1/user/%00 HTTP/1.1", 400, "malformed"),
        (b"GET /static/..%2f..%2fmanage.py HTTP/1.1", 400, "malformed"),
        (b"GET /api/v1/bot/" + b"x" * 9000 + b" HTTP/1.1", 414, "request_too_large"),
        (b"GET /api/v1/bot?x=" + b"x" * 9000 + b" HTTP/1.1", 414, "request_too_large"),
        (b"GET /api/v1/bot and more HTTP/1.1", 400, "malformed"),
        (b"GET /api/v1/bot HTTP/9.9", 505, "malformed"),
        (b"TRACE /api/v1/bot HTTP/1.1", 405, "method_not_allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed"),
        (b"\x00\x00", 400, "malformed"),
    ],
)
def test_a_request_line_that_cannot_be_read(running: Gateway, request_line: bytes, status: int, code: str) -> None:
    answer = send(running.profile.ports["gateway"], request_line + b"\r\n" + HOST + b"\r\n")

    assert_one_shape(answer, status=status, code=code)


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (b"Transfer-Encoding: xchunked\r\n", 501, "not_implemented"),
        (b"Content-Length: 1, 2\r\n", 400, "malformed"),
        (b"Content-Length: 300000\r\n", 413, "request_too_large"),
        (b"Big: " + b"x" * 9000 + b"\r\n", 431, "request_too_large"),
        (b"Zero: a\x00b\r\n", 400, "malformed"),
        # These reach gunicorn, which refuses them.
        (b"Odd: a\x7fb\r\n", 400, "malformed"),
        (b"".join(b"H%d: x\r\n" % number for number in range(120)), 431, "request_too_large"),
    ],
)
def test_headers_that_cannot_be_read(running: Gateway, header: bytes, status: int, code: str) -> None:
    answer = send(running.profile.ports["gateway"], b"POST /api/v1/bot HTTP/1.1\r\n" + HOST + header + b"\r\n")

    assert_one_shape(answer, status=status, code=code)


def test_a_request_without_a_host_or_with_two(running: Gateway) -> None:
    port = running.profile.ports["gateway"]

    assert_one_shape(send(port, b"GET /api/v1/bot HTTP/1.1\r\n\r\n"), status=400, code="malformed")
    assert_one_shape(
        send(port, b"GET /api/v1/bot HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), status=400, code="malformed"
    )


@pytest.mark.parametrize("path", [b"/api/v1/bot?x=" + b"x" * 5000, b"/api/v1/bot/" + b"y" * 8000])
def test_what_the_gateway_reads_the_service_reads_too(running: Gateway, path: bytes) -> None:
    answer = send(running.profile.ports["gateway"], b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert answer.status == 200


@pytest.mark.parametrize("request_", [b"GET /api/v1/bot and more HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_the_service_itself_answers_in_the_one_shape(running: Gateway, request_: bytes) -> None:
    answer = send(running.profile.ports["kraken"], request_)

    answer.headers.pop("x-accel-redirect")
    assert_one_shape(answer, status=400, code="malformed")
    assert b"and more" not in answer.body


def test_the_error_pages_of_the_gateway_have_no_address(running: Gateway) -> None:
    for path in (b"/gateway-error", b"/gateway-error/500"):
        answer = send(running.profile.ports["gateway"], b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert_one_shape(answer, status=404, code="not_found")


@pytest.mark.parametrize("prefix", ["auth", "user", "onboarding", "kraken", "trading", "bot"])
def test_no_prefix_is_redirected_to_a_host_of_the_client_s_choice(running: Gateway, prefix: str) -> None:
    request = f"GET /api/v1/{prefix} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"

    answer = send(running.profile.ports["gateway"], request.encode())

    assert answer.status == 200
    assert "location" not in answer.headers


def test_a_service_that_is_down_is_503_with_a_time_to_come_back(running: Gateway) -> None:
    answer = send(running.profile.ports["gateway"], b"GET /admin/ HTTP/1.1\r\n" + HOST + b"\r\n")

    assert_one_shape(answer, status=503, code="dependency_unavailable")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("path", [b"/app/", b"/app/log-in"])
def test_a_browser_gets_a_page_of_our_own_where_the_console_is_down(running: Gateway, path: bytes) -> None:
    accept = b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    answer = send(running.profile.ports["gateway"], b"GET " + path + b" HTTP/1.1\r\n" + HOST + accept + b"\r\n")

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"The console is not available" in answer.body
    assert answer.headers["x-request-id"].encode() in answer.body
    assert b"nginx" not in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_script_of_a_page_gets_the_one_shape_where_the_console_is_down(running: Gateway) -> None:
    request = b"GET /app/session HTTP/1.1\r\n" + HOST + b"Accept: application/json\r\n\r\n"

    assert_one_shape(send(running.profile.ports["gateway"], request), status=503, code="dependency_unavailable")


TOKEN = b"hidden-in-the-query"


@pytest.mark.parametrize(
    ("line", "header", "status"),
    [
        (b"GET /nothing?token=%s", b"", 404),
        (b"GET /api/v1/user/%%00?token=%s", b"", 400),
        # Refused by gunicorn, whose own words repeat it
        (b"GET /api/v1/bot?token=%s", b"Odd: a\x7fb\r\n", 400),
        (b"GET /api/v1/bot?token=%s" + b"x" * 9000, b"", 414),
        (b"GET /api/v1/bot?token=%s", b"Big: " + b"x" * 9000 + b"\r\n", 431),
        (b"POST /api/v1/bot?token=%s", b"Content-Length: 300000\r\n", 413),
        (b"GET /api/v1/user/break?token=%s", b"", 503),
        (b"GET /admin/?token=%s", b"", 503),
        (b"GET /api/v1/auth/me?token=%s", b"", 429),
    ],
)
def test_no_log_has_the_query_of_a_request_that_is_refused(
    running: Gateway, line: bytes, header: bytes, status: int
) -> None:
    request = line % TOKEN + b" HTTP/1.1\r\n" + HOST + header + b"\r\n"

    # The limit of log-ins lets two through.
    answers = (send(running.profile.ports["gateway"], request).status for _ in range(10 if status == 429 else 1))
    assert status in answers

    requests = running.profile.log("gateway-requests")
    eventually(lambda: json.loads(requests.read_text().splitlines()[-1])["status"] == status, what="the log line")
    logs = list(running.profile.logs.iterdir())
    assert {"gateway.log", "gateway-requests.log", "kraken.log"} <= {path.name for path in logs}
    for path in logs:
        assert TOKEN not in path.read_bytes(), path.name


def test_the_log_says_which_limit_refused_and_that_a_service_did_not_answer(running: Gateway) -> None:
    port = running.profile.ports["gateway"]
    for path in (b"/admin/down", *[b"/api/v1/auth/often"] * 4):
        send(port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    def lines_of(path: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in running.profile.log("gateway-requests").read_text().splitlines()]
        return [line for line in lines if line["path"] == path]

    eventually(lambda: len(lines_of("/api/v1/auth/often")) == 4, what="the log lines")
    (down,) = lines_of("/admin/down")
    refused = [line["limit"] for line in lines_of("/api/v1/auth/often")]
    assert (down["status"], down["upstream_status"]) == (503, "502")
    assert "REJECTED" in refused[-1]
