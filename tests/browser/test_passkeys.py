"""Passkeys in Chromium, with its virtual authenticator: added, used for log-in and step-up, and removed.

The user service answers in this process; the page is the test's own, of the service's origin.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from dev.install import installer
from service_common.settings.factory import MIDDLEWARE
from tests.factories.accounts import FAST_HASHERS, PASSWORD, make_user, sign_tokens

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("user_service.urls")]

# What a console would do: the browser's own JSON forms, nothing else.
PAGE = """<!doctype html><title>Passkeys</title><script>
let access = "";
async function call(method, path, body) {
  const headers = {"Content-Type": "application/json"};
  if (access) headers.Authorization = "Bearer " + access;
  const answer = await fetch("/api/v1/auth/" + path, {method, headers, body: body && JSON.stringify(body)});
  const told = answer.status === 204 ? {} : await answer.json();
  if (told.access) access = told.access;
  return {status: answer.status, ...told};
}
async function add(name) {
  const {public_key} = await call("POST", "passkeys/register/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(public_key);
  const credential = await navigator.credentials.create({publicKey});
  return call("POST", "passkeys/register", {name, credential: credential.toJSON()});
}
async function proof(purpose) {
  const {public_key} = await call("POST", `passkeys/${purpose}/options`);
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(public_key);
  return (await navigator.credentials.get({publicKey})).toJSON();
}
async function logIn(device_token) {
  access = "";
  return call("POST", "passkeys/login", {credential: await proof("login"), device_token});
}
async function stepUp() { return call("POST", "step-up", {passkey: await proof("step-up")}); }
</script>"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def server(settings: Any) -> Iterator[LiveServer]:
    """The user service; pytest-django's own live server has read its middleware before a test can say which."""
    settings.MIDDLEWARE = MIDDLEWARE
    settings.ALLOWED_HOSTS = ["localhost"]
    serving = LiveServer("localhost")
    yield serving
    serving.stop()


@pytest.fixture
def user(settings: Any, server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> User:
    """A trader of a service whose public address is the one that the browser sees."""
    # Playwright's event loop runs in this thread, where Django would refuse to use the database at the test's end.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"public_url": server.url})
    sign_tokens(settings)
    return make_user(email="ada@example.com")


@pytest.fixture
def page(user: User, server: LiveServer) -> Iterator[Page]:
    program = installer.browser()
    assert program, "No browser is installed: run `python3 dev/stack.py install --tests`."
    port = server.url.rpartition(":")[2]
    options = [f"--explicitly-allowed-ports={port}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        opened = browser.new_page()
        opened.set_default_timeout(30_000)
        opened.route("**/passkeys.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        session = opened.context.new_cdp_session(opened)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        opened.goto(f"{server.url}/passkeys.html")
        yield opened
        browser.close()


def test_a_browser_adds_a_passkey_logs_in_with_it_steps_up_and_removes_it(page: Page, user: User) -> None:
    def run(script: str) -> dict[str, Any]:
        answer: dict[str, Any] = page.evaluate(script)
        return answer

    first = run(f'call("POST", "login", {{email: "{user.email}", password: "{PASSWORD}"}})')
    assert first["status"] == 200, first
    stepped_up = run(f'call("POST", "step-up", {{password: "{PASSWORD}"}})')
    assert stepped_up["status"] == 200, stepped_up
    added = run('add("Laptop")')
    assert (added["status"], added["passkey"]["name"], len(added["recovery_codes"]) > 0) == (201, "Laptop", True)

    # Known by the token of the log-in by password.
    entered = run(f'logIn("{first["device_token"]}")')
    assert (entered["status"], entered["device_token"]) == (200, first["device_token"])
    assert [each["name"] for each in run('call("GET", "passkeys")')["results"]] == ["Laptop"]

    path = f"passkeys/{added['passkey']['id']}"
    assert run(f'call("DELETE", "{path}")')["error"]["code"] == "step_up_required"
    assert run("stepUp()")["status"] == 200
    # The only second factor goes by switching two-factor log-in off.
    assert run(f'call("DELETE", "{path}")')["error"]["code"] == "last_second_factor"
    assert run(f'call("POST", "mfa/disable", {{password: "{PASSWORD}"}})')["status"] == 204

    assert run('logIn("")')["error"]["code"] == "passkey_refused"
    assert run(f'call("POST", "login", {{email: "{user.email}", password: "{PASSWORD}"}})')["status"] == 200
