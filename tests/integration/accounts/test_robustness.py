"""The user service during failures of its dependencies, and the secrets it must not leak."""

import logging
import socket
from typing import Any

import pyotp
import pytest
import redis
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services.mail import mail_send_due
from apps.core.models import IdempotencyRecord
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store import wake_up
from tests.factories.accounts import PASSWORD, UserServiceClient, make_user

pytestmark = pytest.mark.django_db

REGISTER = "/api/v1/auth/register"
LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
ME = "/api/v1/user/me"
NEW_PASSWORD = "a wholly different sentence"


def _walk(api: UserServiceClient) -> list[str]:
    """Registers, logs in and uses most of the API. Returns the secrets in the requests and responses."""
    credentials = {"email": "ada@example.com", "password": PASSWORD}
    assert api.post(REGISTER, {**credentials, "name": "Ada"}, HTTP_IDEMPOTENCY_KEY="register").status_code == 201
    pair = api.post(LOGIN, credentials).json()
    renewed = api.post(REFRESH, {"refresh": pair["refresh"]}).json()
    api.bear(renewed["access"])
    assert api.get(ME).status_code == 200
    assert api.patch(ME, {"name": "Ada L."}, HTTP_IDEMPOTENCY_KEY="rename").status_code == 200
    assert api.post("/api/v1/onboarding/terms", {"version": "x", "accepted": True}).status_code == 409
    assert mail_send_due(now=timezone.now())
    code = str(mail.outbox[-1].body).partition("\n    ")[2].partition("\n")[0]
    assert api.post("/api/v1/auth/email/verify", {"token": code}, HTTP_IDEMPOTENCY_KEY="verify").status_code == 204
    secret = api.post("/api/v1/auth/mfa/setup", {"password": PASSWORD}).json()["secret"]
    otp = pyotp.TOTP(secret).now()
    codes = api.post("/api/v1/auth/mfa/confirm", {"otp": otp}).json()["recovery_codes"]
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert api.post(f"{ME}/password", change, HTTP_IDEMPOTENCY_KEY="change").status_code == 204
    assert api.post("/api/v1/auth/password/forgot", {"email": "ada@example.com"}).status_code == 202
    assert len(api.get(f"{ME}/activity").json()["results"]) == 8
    assert api.get("/api/v1/auth/sessions").status_code == 200
    assert api.post("/api/v1/auth/logout", {"refresh": renewed["refresh"]}).status_code == 204
    return [code, PASSWORD, NEW_PASSWORD, secret, *codes, *pair.values(), *renewed.values()]


@pytest.fixture
def _no_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{free.getsockname()[1]}/0"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": url}}
    monkeypatch.setattr(wake_up, "_client", lambda: redis.Redis.from_url(url, socket_connect_timeout=0.1))


@pytest.mark.usefixtures("_no_redis")
@pytest.mark.django_db(transaction=True)
def test_with_redis_down_everything_works_and_nobody_is_throttled(api: UserServiceClient) -> None:
    _walk(api)

    assert {api.post("/api/v1/auth/password/forgot", {"email": "a@b.example"}).status_code for _ in range(40)} == {202}
    assert OutboxRow.objects.count() == StoredEvent.objects.count() == 10


def test_a_network_address_that_knocks_too_often_is_told_when_to_come_back(api: UserServiceClient) -> None:
    answers = [api.post("/api/v1/auth/password/forgot", {"email": "a@b.example"}) for _ in range(31)]

    assert [answer.status_code for answer in answers] == [202] * 30 + [429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert answers[-1].json()["error"]["code"] == "too_many_requests"
    other = UserServiceClient().post("/api/v1/auth/password/forgot", {"email": "a@b.example"})
    assert other.status_code == 202


def test_the_gateways_word_for_the_address_counts_and_nobody_elses(api: UserServiceClient) -> None:
    for number in range(30):
        api.post(
            "/api/v1/auth/password/forgot", {"email": "a@b.example"}, HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 8.8.4.4"
        )
    answers = [
        api.post("/api/v1/auth/password/forgot", {"email": "a@b.example"}, HTTP_X_FORWARDED_FOR=forwarded)
        for forwarded in ("9.9.9.9, 8.8.4.4", "8.8.8.8")
    ]

    assert [answer.status_code for answer in answers] == [429, 202]


def test_the_database_role_of_the_user_service_is_enough_for_all_of_it(api: UserServiceClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE user_service; SET LOCAL search_path TO users, events")

    _walk(api)

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("user_service",)
        cursor.execute("RESET ROLE")
    assert User.objects.count() == 1


def test_no_secret_reaches_a_log_an_event_or_an_idempotency_record(
    api: UserServiceClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        secrets = _walk(api)
        for token in ("a.b.c", "x" * 50):
            api.bear(token)
            api.get(ME)

    said = " ".join(str(record.__dict__) for record in caplog.records if record.name != "django.db.backends")
    written = "".join(capfd.readouterr())
    kept = str(list(IdempotencyRecord.objects.values())) + str([bytes(e.payload) for e in StoredEvent.objects.all()])
    assert len(caplog.records) > 10
    for secret in secrets:
        assert secret not in said
        assert secret not in written
        assert secret not in kept


def test_no_answer_holds_a_hash_or_a_digest(api: UserServiceClient) -> None:
    admin = UserServiceClient(make_user(roles=["admin"]))
    for path in (ME, "/api/v1/user", "/api/v1/auth/sessions", f"{ME}/activity", "/api/v1/onboarding"):
        text = admin.get(path).content.decode()
        assert "md5$" not in text
        assert "digest" not in text
        assert "password" not in text.replace('"method":"password"', "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/user/not-a-uuid", 404),
        ("GET", LOGIN, 405),
        ("DELETE", REGISTER, 405),
        ("POST", "/api/v1/auth/login/", 404),
    ],
)
def test_errors_have_one_shape(api: UserServiceClient, method: str, path: str, status: int) -> None:
    answer = api.generic(method, path)

    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "details", "request_id"}
    assert error["request_id"] == answer["X-Request-ID"]


def test_a_body_that_is_not_json_is_refused(api: UserServiceClient) -> None:
    answer = api.generic("POST", LOGIN, "email=a", content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


def test_the_openapi_document_is_valid_and_names_every_path(tmp_path: Any, settings: Any) -> None:
    import yaml

    file = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--urlconf", "user_service.urls", "--file", str(file))
    document = yaml.safe_load(file.read_text())

    assert {path.removeprefix("/api/v1") for path in document["paths"]} == {
        "/.well-known/jwks.json",
        "/auth/register",
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
        "/auth/password/forgot",
        "/auth/password/reset",
        "/auth/email/verify",
        "/auth/email/resend",
        "/auth/email/change/confirm",
        "/auth/email/change/revert",
        "/user/me/email",
        "/user/me/export",
        "/auth/mfa/setup",
        "/auth/mfa/confirm",
        "/auth/mfa/disable",
        "/auth/step-up",
        "/auth/sessions",
        "/auth/sessions/{session_id}",
        "/user/me",
        "/user/me/password",
        "/user/me/activity",
        "/user",
        "/user/{user_id}",
        "/auth/api-keys",
        "/auth/api-keys/{key_id}",
        "/auth/passkeys",
        "/auth/passkeys/{passkey_id}",
        "/auth/passkeys/login",
        "/auth/passkeys/login/options",
        "/auth/passkeys/register",
        "/auth/passkeys/register/options",
        "/auth/passkeys/step-up/options",
        "/onboarding",
        "/onboarding/{step}",
    }
    login = document["paths"]["/api/v1/auth/login"]["post"]
    assert {"200", "400", "401", "429", "503"} <= set(login["responses"])
    assert "security" not in login or {} in login["security"]
