"""Requests that no service understands: the right 4xx, in the one error shape."""

import gzip
import json
from collections.abc import Iterator

import pytest
import requests

from tests.acceptance.bad_input.asking import JSON, Caller, address, raw, refused

LIMIT = 256 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"{", b'{"name": }', b"[1", b'"text', b"{} {}", b"\xff\xfe{}", b'{"name": "\xc3\x28"}', b"null x",
        b"\xef\xbb\xbf{}",
        b'{"name": NaN}', b'{"quote_budget": Infinity}', b'{"quote_budget": -Infinity}', b'{"name": \x00}', b"\x00",
        b'{"name": "a", "name": "b"}', b'{"risk": {"a": 1, "a": 2}}', b'{"quote_budget": ' + b"9" * 100_000 + b"}",
        b"[" * 100_000, b'{"a":' * 40_000, b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_what_is_no_json_is_malformed(caller: Caller, body: bytes) -> None:
    assert refused(caller.send(body)) == (400, "malformed")


@pytest.mark.parametrize("value", ['"\\ud800"', '"a\\u0000b"', '"\\udfff\\ud800"', '"a\\u202eb"', '"a\\r\\nb"'])
def test_texts_that_cannot_be_kept_are_malformed(caller: Caller, value: str) -> None:
    assert refused(caller.send(f'{{"name": {value}}}')) == (400, "malformed")
    assert refused(caller.send(f"{{{value}: 1}}"))[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Encoding": "gzip"}, {"Content_Encoding": "br"}, {"Content_Type": "application/json; charset=utf-16"},
        {"Content_Type": "application/json; charset=zlib"}, {"Content_Type": "application/json; charset=nothing"},
        {"Content_Type": "text/plain"}, {"Content_Type": "application/x-www-form-urlencoded"}, {"Content_Type": "a"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_plain_json_in_utf_8_is_not_taken(caller: Caller, headers: dict[str, str]) -> None:
    bomb = gzip.compress(b"[" * 20_000_000)
    for body in (b'{"name": "Ada"}', bomb):
        assert refused(caller.send(body, **headers)) == (415, "unsupported_media_type")


def test_a_charset_that_is_no_encoding_of_text_does_not_count_for_the_query(caller: Caller) -> None:
    asked = Caller(caller.url, f"{caller.call}?a=%41", caller.headers)
    assert refused(asked.send(b"{}", Content_Type="application/json; charset=zlib"))[0] in (400, 415)


def test_a_body_above_the_limit_is_too_large(caller: Caller) -> None:
    too_large = b'{"name": "' + b"a" * LIMIT + b'"}'
    assert refused(caller.send(too_large))[0] == 413
    assert refused(caller.send(_in_parts(too_large)))[0] == 413
    just_fits = b'{"name": "' + b"a" * (LIMIT - 12) + b'"}'
    assert refused(caller.send(_in_parts(just_fits))) == (400, "malformed")


def _in_parts(body: bytes) -> Iterator[bytes]:
    """Sent in chunks, without a length."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


HEADERS = [
    # name, value, status, code
    (b"Content-Length", b"-1", 400),
    (b"Content-Length", b"1, 2", 400),
    (b"Content-Length", b"2x", 400),
    (b"Content-Length", b"99999999999999999999", 400),
    (b"Content-Length", b"300000", 413),
    (b"Transfer-Encoding", b"gzip", 501),
    (b"X-Note", b"a" * 9000, 431),
    (b"X-Note", b"a\rSet-Cookie: b=c", 400),
    (b"X-Note", b"a\x00b", 400),
]


@pytest.mark.parametrize(("name", "value", "status"), HEADERS, ids=lambda value: repr(value)[:30])
def test_headers_that_mislead_are_refused(caller: Caller, name: bytes, value: bytes, status: int) -> None:
    answered, headers, body = raw(caller, name + b": " + value + b"\r\n", b"")
    assert (answered, set(json.loads(body)["error"])) == (status, {"code", "message", "details", "request_id"})
    assert "set-cookie" not in headers


def test_a_length_that_is_too_short_leaves_no_second_request(caller: Caller) -> None:
    smuggled = b"{}GET /api/v1/user/me HTTP/1.1\r\nHost: a\r\n\r\n"
    _, _, body = raw(caller, b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n", smuggled)
    assert body.count(b"request_id") <= 1
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"
    assert raw(caller, both, b"0\r\n\r\n")[0] == 400


@pytest.mark.parametrize("value", ["", " ", "a b", "a" * 129, "ä", "a\tb"])
def test_an_idempotency_key_that_is_none_is_malformed(caller: Caller, value: str) -> None:
    json_follows = b"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    answered, _, body = raw(caller, b"Idempotency-Key: " + value.encode() + json_follows, b"{}")
    assert (answered, json.loads(body)["error"]["code"]) == (400, "malformed")


def test_nothing_of_a_request_makes_a_header_of_the_answer(caller: Caller) -> None:
    """Request id, path, host and query come back in headers and in addresses: none can break a line."""
    injected = "%0d%0aSet-Cookie:%20a=b"
    method, path = caller.call.split()
    for asked in (f"{path}/{injected}", f"{path}?cursor={injected}", f"{path}/..%2f{injected}"):
        answer = requests.request(method, caller.url + asked, headers=caller.headers | JSON, data="{}", timeout=60)
        assert 400 <= refused(answer)[0] < 500
        assert "Set-Cookie" not in answer.headers
    answer = caller.send(b"{", X_Request_ID="abcdefgh%0d%0aSet-Cookie: a=b")
    assert "abcdefgh" not in answer.headers["X-Request-ID"]
    answered, headers, _ = raw(caller, b"X-Request-ID: abcdefgh\r\n Set-Cookie: a=b\r\nContent-Length: 0\r\n", b"")
    assert (answered, "set-cookie" in headers) == (400, False)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/user/../../../etc/passwd", "/api/v1/bot/..%2f..%2f..%2fetc%2fpasswd", "/static/../manage.py",
        "/static/..%2f..%2fmanage.py", "/static/%2e%2e/%2e%2e/manage.py", "/api/v1/kraken/keys/..;/..;/metrics",
        "/api/v1/bot/%2e%2e%2f%2e%2e%2fmetrics", "//metrics", "/api/v1/bot/..\\..\\metrics", "/.git/config",
        "/metrics/.",
    ],
)  # fmt: skip
def test_no_path_leads_outside(url: str, token: str, path: str) -> None:
    prepared = requests.Request("GET", url, headers={"Authorization": f"Bearer {token}", **address()}).prepare()
    prepared.url = url + path  # as it is, where requests would resolve it
    answer = requests.Session().send(prepared, timeout=60)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["code"] in ("malformed", "not_found")


@pytest.mark.parametrize("path", ["/api/v1/user/me/activity?limit=1&limit=2", "/api/v1/bot?limit=1&limit=2"])
def test_a_parameter_that_is_there_twice_is_malformed(url: str, token: str, path: str) -> None:
    answer = requests.get(url + path, headers={"Authorization": f"Bearer {token}", **address()}, timeout=60)
    assert refused(answer) == (400, "malformed")
