"""The gateway's configuration in a real nginx, before a service that says what it was asked."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from dev.config import gateway
from tests.support.gateway import Gateway, Gateways

ORIGIN = "https://app.example.org"


@pytest.fixture(scope="module")
def running(gateways: Gateways) -> Gateway:
    return gateways.start("open", {"MUCKARD_CORS_ORIGINS": ORIGIN, "MUCKARD_GATEWAY_AUTH_BURST": "1000"})


@pytest.mark.parametrize(
    ("path", "service", "asked"),
    [
        ("/.well-known/jwks.json", "user", "/.well-known/jwks.json"),
        ("/api/v1/auth/login", "user", "/api/v1/auth/login"),
        ("/api/v1/user/me", "user", "/api/v1/user/me"),
        ("/api/v1/user", "user", "/api/v1/user"),
        ("/api/v1/onboarding", "user", "/api/v1/onboarding"),
        ("/api/v1/kraken/connect", "kraken", "/api/v1/kraken/connect"),
        ("/api/v1/trading/pairs?limit=5", "kraken", "/api/v1/trading/pairs?limit=5"),
        ("/api/v1/bot", "kraken", "/api/v1/bot"),
        ("/health/stream", "stream", "/health/ready"),
        ("/app/", "console", "/app/"),
        ("/api/v1/bot/1/start", "kraken", "/api/v1/bot/1/start"),
        ("/admin/", "staff", "/admin/"),
        ("/static/admin/css/base.css", "staff", "/static/admin/css/base.css"),
        ("/health", "staff", "/health/platform"),
        ("/health/user", "user", "/health/ready"),
        ("/health/bot", "bot", "/health/ready"),
        ("/health/paper/live", "paper", "/health/live"),
        ("/api/docs/user/?script=", "user", "/api/docs/user/?script="),
        ("/api/schema/user/", "user", "/api/schema/user/"),
        ("/api/schema/kraken/?format=json", "kraken", "/api/schema/kraken/?format=json"),
    ],
)
def test_each_path_reaches_its_service(running: Gateway, path: str, service: str, asked: str) -> None:
    response, content = running.ask("GET", path)

    answer = json.loads(content)
    assert response.status == 200
    assert (answer["service"], answer["path"]) == (service, asked)


@pytest.mark.parametrize(
    "path", ["/metrics", "/other", "/api/v1/botany", "/api/v1/nothing", "/health/redis", "/0/public/Time"]
)
def test_what_is_not_routed_is_not_there(running: Gateway, path: str) -> None:
    asked_before = {name: len(service.asked) for name, service in running.services.items()}

    response, error = running.error("GET", path)

    assert response.status == 404
    assert error["code"] == "not_found"
    assert {name: len(service.asked) for name, service in running.services.items()} == asked_before


def test_the_address_alone_leads_to_the_console(running: Gateway) -> None:
    response, _ = running.ask("GET", "/")

    assert (response.status, response.headers["Location"]) == (302, "/app/")


_UNSAFE_STYLES = "style-src 'self' 'unsafe-inline'"


@pytest.mark.parametrize(
    ("path", "unsafe"),
    [
        ("/api/docs/kraken/", [_UNSAFE_STYLES]),
        ("/api/docs/user/?script=", [_UNSAFE_STYLES]),
        ("/static/admin/js/core.js", [_UNSAFE_STYLES]),
        # What the staff site's pages need is for these alone.
        ("/admin/", ["script-src 'self' 'unsafe-eval'", _UNSAFE_STYLES]),
        ("/admin/bots/bot/", ["script-src 'self' 'unsafe-eval'", _UNSAFE_STYLES]),
    ],
)
def test_a_page_may_load_from_its_own_origin_only(running: Gateway, path: str, unsafe: list[str]) -> None:
    response, _ = running.ask("GET", path)

    directives = (response.getheader("Content-Security-Policy") or "").split("; ")
    sources = {source for directive in directives for source in directive.split()[1:]}
    assert {source for source in sources if not source.startswith("'unsafe")} == {"'self'", "'none'", "data:"}
    assert [directive for directive in directives if "'unsafe" in directive] == unsafe


def test_a_well_formed_request_id_is_kept_and_passed_on(running: Gateway) -> None:
    response, content = running.ask("GET", "/api/v1/bot", X_Request_ID="abc-DEF_12345")

    assert response.headers.get_all("X-Request-ID") == ["abc-DEF_12345"]
    assert json.loads(content)["headers"]["X-Request-ID"] == "abc-DEF_12345"


@pytest.mark.parametrize("sent", ["short", "x" * 65, 'quote"s-and-more', "with space in it"])
def test_any_other_request_id_is_replaced(running: Gateway, sent: str) -> None:
    response, content = running.ask("GET", "/api/v1/bot", X_Request_ID=sent)

    made = response.getheader("X-Request-ID") or ""
    assert len(made) == 32
    assert json.loads(content)["headers"]["X-Request-ID"] == made


def test_a_client_cannot_say_who_it_is(running: Gateway) -> None:
    _, content = running.ask("GET", "/api/v1/bot", X_Forwarded_For="10.0.0.1", X_Real_IP="10.0.0.1")

    headers = json.loads(content)["headers"]
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "127.0.0.1"


def test_every_answer_carries_the_security_headers_once(running: Gateway) -> None:
    for path in ("/api/v1/bot", "/metrics"):
        response, _ = running.ask("GET", path)

        assert response.headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert response.headers.get_all("X-Frame-Options") == ["DENY"]
        assert response.headers.get_all("Referrer-Policy") == ["same-origin"]
        assert response.headers.get_all("Content-Security-Policy") == ["default-src 'none'; frame-ancestors 'none'"]
        assert response.headers.get_all("Server") == ["nginx"]


def test_a_listed_origin_may_ask(running: Gateway) -> None:
    response, content = running.ask("OPTIONS", "/api/v1/bot", Origin=ORIGIN, Access_Control_Request_Method="POST")

    assert (response.status, content) == (204, b"")
    assert response.getheader("Access-Control-Allow-Origin") == ORIGIN
    assert "Idempotency-Key" in (response.getheader("Access-Control-Allow-Headers") or "")
    assert "PATCH" in (response.getheader("Access-Control-Allow-Methods") or "")
    answer, _ = running.ask("GET", "/api/v1/bot", Origin=ORIGIN)
    assert answer.getheader("Access-Control-Allow-Origin") == ORIGIN
    assert "Location" in (answer.getheader("Access-Control-Expose-Headers") or "")
    assert answer.getheader("Access-Control-Allow-Credentials") is None


def test_another_origin_gets_no_leave(running: Gateway) -> None:
    for method in ("OPTIONS", "GET"):
        response, _ = running.ask(
            method, "/api/v1/bot", Origin="https://evil.example", Access_Control_Request_Method="POST"
        )

        assert response.getheader("Access-Control-Allow-Origin") is None
        assert response.getheader("Access-Control-Allow-Methods") is None
        assert response.getheader("Vary") == "Origin"


def test_a_body_above_the_limit_is_refused_before_a_service_sees_it(running: Gateway) -> None:
    response, error = running.error("POST", "/api/v1/bot/large", b"x" * (256 * 1024 + 1))

    assert response.status == 413
    assert error["code"] == "request_too_large"
    assert not [asked for asked in running.services["kraken"].asked if "large" in asked]


def test_a_body_at_the_limit_passes(running: Gateway) -> None:
    response, _ = running.ask("POST", "/api/v1/bot/whole", b"x" * (256 * 1024))

    assert response.status == 200


def test_a_service_that_says_when_to_come_back_is_passed_on(running: Gateway) -> None:
    response, content = running.ask("GET", "/api/v1/trading/busy")

    assert response.status == 429
    assert response.headers.get_all("Retry-After") == ["77"]
    assert json.loads(content)["service"] == "kraken"


def test_a_post_whose_answer_is_lost_is_not_sent_again(running: Gateway) -> None:
    running.ask("GET", "/api/v1/bot")
    response, error = running.error("POST", "/api/v1/bot/break", b"{}")

    assert response.status == 503
    assert response.getheader("Retry-After") == "2"
    assert error["code"] == "dependency_unavailable"
    assert running.services["kraken"].asked.count("POST /api/v1/bot/break") == 1


def test_a_stream_is_passed_on_as_it_comes(running: Gateway) -> None:
    connection = HTTPConnection("127.0.0.1", running.profile.ports["gateway"], timeout=5)
    connection.request("GET", "/api/v1/bot/stream")
    response = connection.getresponse()

    # The service has not ended its answer yet: a gateway that gathers it would let this time out.
    assert response.readline() == b"data: first\n"
    connection.close()


def test_a_page_gets_the_stream_by_the_consoles_word_with_a_token_that_it_never_sees(running: Gateway) -> None:
    connection = HTTPConnection("127.0.0.1", running.profile.ports["gateway"], timeout=5)
    connection.request(
        "GET", "/app/stream", headers={"Cookie": "session=1", "Last-Event-ID": "17", "Authorization": "Bearer mine"}
    )
    response = connection.getresponse()

    assert response.readline() == b"data: first\n"
    assert response.getheader("Content-Type") == "text/event-stream"
    assert "handed-over" not in str(response.getheaders())
    connection.close()
    told = running.services["stream"].told
    assert (told["Authorization"], told["Last-Event-ID"], told["Cookie"]) == ("Bearer handed-over", "17", None)
    assert running.services["console"].told["Cookie"] == "session=1"


def test_the_address_of_the_hand_over_is_the_gateways_alone(running: Gateway) -> None:
    asked_before = len(running.services["stream"].asked)
    for path in ("/_stream/", "/_stream", "/_stream/x"):
        response, _ = running.error("GET", path, X_Stream_Authorization="Bearer mine")
        assert response.status == 404
    assert len(running.services["stream"].asked) == asked_before


def test_the_log_holds_no_query_and_no_header_with_a_secret(running: Gateway) -> None:
    running.ask("GET", "/api/v1/user/me?token=hidden-in-query", Authorization="Bearer hidden-in-header")

    log = running.profile.log("gateway-requests")
    deadline = time.monotonic() + 5
    while '"path":"/api/v1/user/me"' not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "hidden" not in log.read_text()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "request_id", "method", "path", "status", "seconds"} <= set(entries[-1])


def test_a_service_that_is_down_is_said_in_the_one_shape(gateways: Gateways) -> None:
    partly = gateways.start("partly", {}, absent=frozenset({"kraken"}))

    response, error = partly.error("GET", "/api/v1/bot")

    assert response.status == 503
    assert error["code"] == "dependency_unavailable"
    assert partly.ask("GET", "/api/v1/user/me")[0].status == 200


def test_too_many_requests_are_refused_and_log_in_earlier_than_the_rest(gateways: Gateways) -> None:
    limits = {"MUCKARD_GATEWAY_AUTH_RATE": "1", "MUCKARD_GATEWAY_AUTH_BURST": "2"}
    limited = gateways.start("limited", limits)

    statuses = [limited.ask("POST", "/api/v1/auth/login", b"{}")[0].status for _ in range(6)]
    response, error = limited.error("POST", "/api/v1/auth/login", b"{}")

    # One at once, two that the burst lets through.
    assert statuses[:3] == [200, 200, 200]
    assert set(statuses[3:]) == {429}
    assert response.getheader("Retry-After") == "1"
    assert error["code"] == "too_many_requests"
    assert limited.ask("GET", "/api/v1/bot")[0].status == 200
    assert limited.services["user"].asked.count("POST /api/v1/auth/login") == 3


PROXIED = {"MUCKARD_TRUSTED_PROXIES": "127.0.0.1", "MUCKARD_GATEWAY_RATE": "1", "MUCKARD_GATEWAY_BURST": "2"}


@pytest.mark.parametrize(
    ("same", "another"),
    [
        (["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8::1:9:8:7:6", "2001:DB8:0:1::"], "2001:db8:0:2::1"),
        (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "::FFFF:c000:201"], "::ffff:192.0.2.2"),
    ],
)
def test_one_client_is_a_network_of_ipv6_addresses_or_one_ipv4_address(
    proxied: Gateway, same: list[str], another: str
) -> None:
    statuses = [proxied.ask("GET", "/api/v1/bot", X_Forwarded_For=address)[0].status for address in same]

    assert statuses == [200, 200, 200, 429]
    assert proxied.ask("GET", "/api/v1/bot", X_Forwarded_For=another)[0].status == 200


@pytest.fixture(scope="module")
def proxied(gateways: Gateways) -> Gateway:
    return gateways.start("proxied", PROXIED)


def test_streams_are_limited_apart_from_other_requests(gateways: Gateways) -> None:
    streaming = gateways.start("streaming", {"MUCKARD_GATEWAY_STREAMS": "2"})
    held = [streaming.connection() for _ in range(2)]
    for connection in held:
        connection.request("GET", "/api/v1/bot/stream")
        assert connection.getresponse().status == 200

    response, error = streaming.error("GET", "/api/v1/bot/stream")

    assert (response.status, error["code"]) == (429, "too_many_requests")
    assert response.getheader("Retry-After") == "1"
    assert streaming.ask("GET", "/api/v1/bot")[0].status == 200
    assert streaming.error("GET", "/app/stream")[0].status == 429
    assert streaming.services["stream"].asked.count("GET /api/v1/bot/stream") == 2


def test_only_the_owner_may_read_the_logs(running: Gateway) -> None:
    running.ask("GET", "/api/v1/bot")

    assert running.profile.logs.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in running.profile.logs.iterdir()} == {0o600}


def test_nothing_of_a_request_is_written_to_disk(running: Gateway) -> None:
    written = [path for path in gateway.folder(running.profile).rglob("*") if path.is_file() and path.suffix != ".pid"]

    assert set(written) == {gateway.configuration_file(running.profile), gateway.redirect_file(running.profile)}


HELD = 1500
UNFINISHED = b"GET /api/v1/bot HTTP/1.1\r\nHost: gateway.example\r\n"


@pytest.fixture
def may_open_many_files() -> Iterator[None]:
    """As many as the machine allows: the usual limit of 1,024 is below what this process is to hold."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("may_open_many_files")
def test_many_open_connections_cost_nobody_an_answer(gateways: Gateways) -> None:
    unlimited = {"MUCKARD_GATEWAY_RATE": "100000", "MUCKARD_GATEWAY_BURST": "100000"}
    crowded = gateways.start("crowded", unlimited)
    address = ("127.0.0.1", crowded.profile.ports["gateway"])
    with ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(address, timeout=30)) for _ in range(HELD)]
        for client in clients:
            # Half a request: nginx may close an idle connection when it runs short, but not this one.
            client.sendall(UNFINISHED)

        statuses = [crowded.ask("GET", "/api/v1/bot")[0].status for _ in range(20)]
        finished = [_finish(client) for client in clients[-20:]]

    assert set(statuses) == {200}
    assert set(finished) == {b"HTTP/1.1 200"}


def _finish(client: socket.socket) -> bytes:
    client.sendall(b"Connection: close\r\n\r\n")
    return client.recv(12)
