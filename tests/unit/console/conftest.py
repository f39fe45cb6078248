"""The console in this process, in front of an API that a test scripts: no server, no database."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import django.forms
import httpx
import pytest
from django.test import Client

from apps.console.api_client import base
from apps.console.session import refresh

ROOT = Path(__file__).resolve().parents[3]
# Of the console's own settings; the apps of the staff site, under whose settings tests run, stay.
_TAKEN = (
    "MIDDLEWARE", "STATIC_URL", "CSRF_FAILURE_VIEW", "MESSAGE_STORAGE", "FORM_RENDERER", "SESSION_COOKIE_NAME",
    "CSRF_COOKIE_NAME", "CSRF_COOKIE_HTTPONLY", "LANGUAGE_COOKIE_NAME", "LANGUAGE_COOKIE_AGE", "LANGUAGES",
    "LANGUAGE_CODE", "ROOT_URLCONF",
)  # fmt: skip


def token(**claims: Any) -> str:
    """An access token whose signature nobody checks; good for ten minutes unless `exp` says otherwise."""
    payload = {"sid": "s1", "exp": time.time() + 600, "email_verified": True, "mfa": False} | claims
    return f"h.{base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip('=')}.s"


ME = {
    "id": "u1",
    "email": "ada@example.com",
    "email_verified_at": "2026-01-02T03:04:05Z",
    "name": "Ada",
    "time_zone": "Europe/Berlin",
    "roles": ["trader"],
    "created_at": "2026-01-02T03:04:05Z",
    "email_change": None,
}
Answerer = Callable[[httpx.Request], httpx.Response]


@dataclass
class FakeApi:
    """Answers by method and path below /api/v1/; what is not scripted fails the test. `asked` are the requests."""

    answers: dict[tuple[str, str], list[Answerer]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def on(self, method: str, path: str, body: Any = None, status: int = 200, times: int = 0, **headers: str) -> None:
        """The answer from now on; one given with `times` comes first, so often."""
        answer = [lambda _request: httpx.Response(status, json=body, headers=headers)] * max(times, 1)
        known = self.answers.get((method, path), [])
        self.answers[method, path] = [*answer, *known] if times else answer

    def refuse(self, method: str, path: str, status: int, code: str, times: int = 0, **details: Any) -> None:
        body = {"error": {"code": code, "message": f"{code}.", "details": details, "request_id": "r"}}
        self.on(method, path, body, status, times)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path.removeprefix("/api/v1/")
        answers = self.answers.get((request.method, path))
        assert answers, f"{request.method} {path} was not expected"
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(request)

    def calls(self, method: str, path: str) -> list[httpx.Request]:
        return [each for each in self.asked if (each.method, each.url.path) == (method, f"/api/v1/{path}")]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    client = httpx.Client(transport=httpx.MockTransport(fake.handle))
    monkeypatch.setattr(base, "http_client", lambda: client)
    monkeypatch.setattr(refresh, "_exchanges", {})
    fake.on("GET", "user/me", ME)
    return fake


@pytest.fixture
def console(settings: Any, api: FakeApi) -> Client:
    """A browser in front of the console."""
    project = import_module("web_console.settings")
    for name in _TAKEN:
        setattr(settings, name, getattr(project, name))
    options = dict(project.TEMPLATES[0]["OPTIONS"])
    options["libraries"] = {name: f"apps.console.templatetags.{name}" for name in ("console", "figures")}
    folders = [ROOT / "apps" / "console" / "templates", Path(django.forms.__path__[0]) / "templates"]
    settings.TEMPLATES = [{**project.TEMPLATES[0], "DIRS": folders, "OPTIONS": options}]
    settings.LOCALE_PATHS = [ROOT / "apps" / "console" / "locale"]
    return Client(enforce_csrf_checks=False)


@pytest.fixture
def trader(console: Client, api: FakeApi) -> Client:
    """A browser that is logged in."""
    log_in(console, api)
    api.asked.clear()
    return console


def log_in(console: Client, api: FakeApi, **claims: Any) -> Any:
    pair = {"access": token(**claims), "refresh": "first-refresh", "device_token": "device-1"}
    api.on("POST", "auth/login", pair)
    answer = console.post("/app/log-in", {"email": "ada@example.com", "password": "secret password"})
    assert answer.status_code == 303, answer.content.decode()
    return answer
