"""The gateway with TLS of its own, and behind a proxy that has it."""

import json
import socket
import ssl

import pytest

from dev.base.errors import StackError
from dev.config import gateway, tls
from tests.integration.dev.test_gateway_errors import assert_one_shape, send
from tests.support.gateway import Gateway, Gateways

SELF_SIGNED = {"MUCKARD_TLS": "self-signed"}


@pytest.fixture(scope="module")
def secured(gateways: Gateways) -> Gateway:
    return gateways.start("secured", SELF_SIGNED)


def test_a_request_by_https_reaches_its_service_and_says_so(secured: Gateway) -> None:
    response, content = secured.ask("GET", "/api/v1/bot")

    assert response.status == 200
    assert json.loads(content)["headers"]["X-Forwarded-Proto"] == "https"
    assert response.headers.get_all("Strict-Transport-Security") == ["max-age=31536000; includeSubDomains"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_sent_on_to_the_configured_address(secured: Gateway, method: str) -> None:
    request = f"{method} /api/v1/bot?limit=5 HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"

    answer = send(secured.profile.ports["gateway"], request.encode())

    assert_one_shape(answer, status=308, code="https_required")
    port = secured.profile.ports["gateway_tls"]
    assert answer.headers["location"] == f"https://127.0.0.1:{port}/api/v1/bot?limit=5"
    assert "strict-transport-security" not in answer.headers
    assert all(not service.asked or "limit=5" not in service.asked[-1] for service in secured.services.values())


def test_plain_http_at_the_port_for_tls_is_refused_in_json(secured: Gateway) -> None:
    answer = send(secured.profile.ports["gateway_tls"], b"GET /api/v1/bot HTTP/1.1\r\nHost: x\r\n\r\n")

    assert_one_shape(answer, status=400, code="https_required")


def test_an_unreadable_request_at_the_plain_port_is_refused_in_json(secured: Gateway) -> None:
    answer = send(secured.profile.ports["gateway"], b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n")

    assert_one_shape(answer, status=400, code="malformed")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_present_versions_of_tls_are_spoken(secured: Gateway, version: ssl.TLSVersion) -> None:
    context = _context(version)

    with _handshake(secured, context) as connection:
        cipher, _, _ = connection.cipher() or ("", "", 0)

    assert "GCM" in cipher or "CHACHA20" in cipher


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_versions_and_weak_ciphers_are_refused(secured: Gateway) -> None:
    old = _context(ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    weak = _context(ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")

    for context in (old, weak):
        with pytest.raises(ssl.SSLError):
            _handshake(secured, context)


def test_the_certificate_is_kept(secured: Gateway) -> None:
    files = tls.self_signed_files(secured.profile)
    before = files.certificate.read_bytes()

    assert tls.of(secured.profile, SELF_SIGNED) == files
    assert files.certificate.read_bytes() == before
    assert files.key.stat().st_mode & 0o077 == 0


def test_a_certificate_that_is_missing_is_said(secured: Gateway) -> None:
    with pytest.raises(StackError, match=r"MUCKARD_TLS_CERTIFICATE_FILE='/nowhere\.pem' is no file"):
        tls.of(secured.profile, {"MUCKARD_TLS_CERTIFICATE_FILE": "/nowhere.pem"})
    with pytest.raises(StackError, match="MUCKARD_TLS='yes' means nothing"):
        tls.of(secured.profile, {"MUCKARD_TLS": "yes"})


def _context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def _handshake(secured: Gateway, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = socket.create_connection(("127.0.0.1", secured.profile.ports["gateway_tls"]), timeout=5)
    return context.wrap_socket(connection)


FORWARDED = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "trade.example.com"}


def test_a_trusted_proxy_says_who_the_client_is_and_how_it_came(gateways: Gateways) -> None:
    proxied = gateways.start("proxied", {"MUCKARD_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"})

    response, content = proxied.ask("GET", "/api/v1/bot", b"", **FORWARDED)
    headers = json.loads(content)["headers"]

    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "203.0.113.9"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["Host"] == "trade.example.com"
    assert response.getheader("Strict-Transport-Security")
    # What the client itself claims stands before the address that the proxy saw; a trusted proxy in between is skipped.
    _, content = proxied.ask("GET", "/api/v1/bot", X_Forwarded_For="1.1.1.1, 203.0.113.9, 10.1.2.3")
    assert json.loads(content)["headers"]["X-Forwarded-For"] == "203.0.113.9"
    _, content = proxied.ask("GET", "/api/v1/bot", X_Forwarded_Proto="ftp", X_Forwarded_Host="a b<c>")
    assert json.loads(content)["headers"]["X-Forwarded-Proto"] == "http"
    assert "<" not in json.loads(content)["headers"]["Host"]


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
def test_anybody_else_says_nothing(gateways: Gateways, trusted: str) -> None:
    alone = gateways.start(f"alone{len(trusted)}", {"MUCKARD_TRUSTED_PROXIES": trusted})

    response, content = alone.ask("GET", "/api/v1/bot", b"", **FORWARDED, Forwarded="for=1.1.1.1")
    headers = json.loads(content)["headers"]

    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["Host"] == f"127.0.0.1:{alone.profile.ports['gateway']}"
    assert "X-Forwarded-Host" not in headers
    assert "Forwarded" not in headers
    assert response.getheader("Strict-Transport-Security") is None


def test_limits_count_the_client_behind_a_trusted_proxy(gateways: Gateways) -> None:
    limits = {
        "MUCKARD_GATEWAY_AUTH_RATE": "1",
        "MUCKARD_GATEWAY_AUTH_BURST": "1",
        "MUCKARD_TRUSTED_PROXIES": "127.0.0.1",
    }
    proxied = gateways.start("shared", limits)

    def log_in(address: str) -> int:
        return proxied.ask("POST", "/api/v1/auth/login", b"{}", X_Forwarded_For=address)[0].status

    assert [log_in("203.0.113.1") for _ in range(4)].count(429) >= 1
    assert log_in("203.0.113.2") == 200


@pytest.mark.parametrize("listed", ["0.0.0.0/0", "::/0", "everybody", "10.0.0.1/8"])
def test_a_list_of_proxies_that_cannot_be_meant_is_refused(listed: str) -> None:
    with pytest.raises(StackError, match="MUCKARD_TRUSTED_PROXIES"):
        gateway.networks(listed)
