"""The browser's session: where tokens are, how they are exchanged, and what becomes of a form without a log-in."""

import json
import re
import threading
import time
from typing import Any

import httpx
import pytest
from django.test import Client

from apps.console.session.login import LogIn
from apps.console.session.refresh import refresh
from apps.console.session.sealed import seal, unseal
from apps.core import samples
from tests.unit.console.conftest import FakeApi, log_in, token


def held_in(page: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_tokens_are_in_no_page_and_the_cookie_is_closed_to_scripts(console: Client, api: FakeApi) -> None:
    answer = log_in(console, api)

    cookie = answer.cookies["console"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert "first-refresh" not in cookie.value
    page = console.get("/app/account").content.decode()
    assert "first-refresh" not in page
    assert token().split(".")[1][:40] not in page
    assert len(cookie.value) < 2000


def test_a_log_in_sends_the_device_token_of_the_last_one(console: Client, api: FakeApi) -> None:
    answer = log_in(console, api)
    log_in(console, api)

    assert answer.cookies["console_device"]["samesite"] == "Strict"
    bodies = [json.loads(each.content) for each in api.calls("POST", "auth/login")]
    assert [body["device_token"] for body in bodies] == ["", "device-1"]


def test_the_password_is_typed_once_and_stands_in_no_page(console: Client, api: FakeApi) -> None:
    api.refuse("POST", "auth/login", 401, "otp_required")
    typed = {"email": "ada@example.com", "password": "secret password"}
    page = console.post("/app/log-in", typed).content.decode()
    assert "secret password" not in page

    api.on("POST", "auth/login", {"access": token(mfa=True), "refresh": "r", "device_token": "d"})
    answer = console.post("/app/log-in", held_in(page) | {"otp": "123456"})

    assert answer.status_code == 303
    assert json.loads(api.calls("POST", "auth/login")[-1].content)["password"] == "secret password"


def test_an_expired_access_token_is_exchanged_and_the_cookie_written_again(
    trader: Client, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 590
    monkeypatch.setattr(time, "time", lambda: later)
    api.on("POST", "auth/refresh", {"access": token(), "refresh": "second-refresh"})

    answer = trader.get("/app/account")

    assert answer.status_code == 200
    assert "console" in answer.cookies
    (exchanged,) = api.calls("POST", "auth/refresh")
    assert json.loads(exchanged.content) == {"refresh": "first-refresh"}
    assert "first-refresh" not in exchanged.headers["Idempotency-Key"]


def test_pages_that_ask_at_once_exchange_a_token_once() -> None:
    exchanged: list[str] = []
    may_answer = threading.Event()

    def exchange(given: str, key: str) -> tuple[str, str]:
        exchanged.append(key)
        may_answer.wait(5)
        return token(), "next"

    log_ins = [LogIn(token(exp=0), "shared-refresh") for _ in range(4)]
    threads = [threading.Thread(target=refresh, args=(each, exchange)) for each in log_ins]
    for thread in threads:
        thread.start()
    may_answer.set()
    for thread in threads:
        thread.join(5)

    assert len(exchanged) == 1
    assert {each.refresh for each in log_ins} == {"next"}


def test_an_ended_session_leads_to_the_log_in_and_back(trader: Client, api: FakeApi) -> None:
    api.refuse("GET", "user/me", 401, "invalid_token")
    api.refuse("POST", "auth/refresh", 401, "invalid_token")

    answer = trader.get("/app/account")

    assert answer.status_code == 303
    assert answer["Location"] == "/app/log-in?next=%2Fapp%2Faccount&ended=1"
    assert answer.cookies["console"].value == ""


def test_what_was_typed_comes_back_after_the_log_in_and_was_not_sent(console: Client, api: FakeApi) -> None:
    typed = {"name": "Ada Lovelace", "time_zone": "Europe/London", "idempotency_key": "k"}
    asks = console.post("/app/account", typed).content.decode()
    assert "Ada Lovelace" not in asks

    api.on("POST", "auth/login", {"access": token(), "refresh": "r", "device_token": "d"})
    page = console.post("/app/log-in", {**held_in(asks), "email": "ada@example.com", "password": "p"})

    shown = page.content.decode()
    assert 'value="Ada Lovelace"' in shown
    assert 'value="Europe/London"' in shown
    assert 'action="/app/account"' in shown
    assert "console" in page.cookies
    assert api.calls("PATCH", "user/me") == []


def test_what_is_sealed_for_one_purpose_or_an_hour_ago_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal(["x"], purpose="session")
    assert unseal(sealed, purpose="session", max_age_seconds=60) == ["x"]
    assert unseal(sealed, purpose="held form", max_age_seconds=60) is None
    assert unseal(sealed[:-2] + "AA", purpose="session", max_age_seconds=60) is None
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert unseal(sealed, purpose="session", max_age_seconds=60) is None


def test_the_log_in_leads_to_no_other_host(console: Client, api: FakeApi) -> None:
    for where in ("https://evil.example/", "//evil.example", "/admin/", "/app\\evil.example", "/application"):
        api.on("POST", "auth/login", {"access": token(), "refresh": "r", "device_token": "d"})
        answer = console.post("/app/log-in", {"email": "a@example.com", "password": "p", "next": where})
        assert answer["Location"] == "/app/", where
        console.cookies.clear()


def test_the_stream_is_handed_over_with_the_token_that_only_the_gateway_sees(trader: Client) -> None:
    answer = trader.get("/app/stream")

    assert answer["X-Accel-Redirect"] == "/_stream/"
    assert answer["X-Stream-Authorization"].startswith("Bearer h.")
    assert answer.content == b""
    trader.cookies.clear()
    assert trader.get("/app/stream").status_code == 401


def test_a_form_without_its_token_is_refused(console: Client, api: FakeApi) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/app/log-in", {"email": "a@example.com", "password": "p"})

    assert answer.status_code == 403
    assert "was not accepted" in answer.content.decode()
    assert api.asked == []


def test_every_page_runs_files_of_this_host_alone_and_is_kept_nowhere(trader: Client) -> None:
    answer = trader.get("/app/account")

    policy: Any = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer["Cache-Control"] == "no-store"


def test_a_service_that_is_down_is_a_page_that_says_so_and_the_log_in_stays(trader: Client, api: FakeApi) -> None:
    api.refuse("GET", "user/me", 503, "dependency_unavailable")

    answer = trader.get("/app/account")

    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()
    assert "console" not in answer.cookies


def test_requests_are_counted_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    counts = samples.RequestCounts("console", clock=lambda: now)
    monkeypatch.setattr(samples, "counts_add", lambda *_args, **_options: pytest.fail("The console has no database."))
    now = 60.0
    counts.add(200)


def test_a_log_out_ends_the_session_of_the_api_and_takes_the_cookie_away(trader: Client, api: FakeApi) -> None:
    api.on("POST", "auth/logout", status=204)

    answer = trader.post("/app/log-out")

    assert json.loads(api.calls("POST", "auth/logout")[0].content) == {"refresh": "first-refresh"}
    assert answer.cookies["console"].value == ""
    assert trader.get("/app/account").status_code == 303


def test_a_download_that_waited_for_a_proof_comes_right_after_it(trader: Client, api: FakeApi) -> None:
    api.refuse("GET", "user/me/export", 403, "step_up_required", times=1)
    api.answers["GET", "user/me/export"].append(lambda _request: httpx.Response(200, content=b"an archive"))
    asks = trader.post("/app/account/export", {"idempotency_key": "k"}).content.decode()
    api.on("POST", "auth/step-up", {"access": token(), "expires_in": 600})

    answer = trader.post("/app/step-up", {**held_in(asks), "password": "secret password"})

    assert answer["Content-Disposition"] == 'attachment; filename="muckard-export.zip"'
    assert b"".join(answer.streaming_content) == b"an archive"  # type: ignore[attr-defined]
