"""The staff site behind TLS, its own or a proxy's: the gateway says https, and forms and links follow."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import User
from service_common.environment import environment
from service_common.settings.public_address import public_address

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
HOST = "trade.example.com"


@pytest.fixture
def behind_https(settings: Any) -> Client:
    given = environment("staff").model_copy(update={"public_url": f"https://{HOST}"})
    for name, setting in public_address(given, has_cookies=True).items():
        setattr(settings, name, setting)
    return Client(enforce_csrf_checks=True, headers={"Host": HOST, "X-Forwarded-Proto": "https"}, SERVER_NAME=HOST)


def _log_in(client: Client, *, origin: str) -> Any:
    client.get("/admin/login/")
    token = client.cookies["__Host-csrftoken"].value
    form = {"username": f"{uuid4().hex}@example.com", "password": PASSWORD, "csrfmiddlewaretoken": token}
    return client.post("/admin/login/?next=/admin/", form, headers={"Origin": origin, "Referer": f"{origin}/admin/"})


def test_a_form_of_the_site_itself_is_accepted(behind_https: Client) -> None:
    answer = _log_in(behind_https, origin=f"https://{HOST}")

    # The account is unknown, and the form says so: its origin was accepted.
    assert answer.status_code == 200
    assert "Please enter the correct" in answer.content.decode()
    cookie = behind_https.cookies["__Host-csrftoken"]
    assert cookie["secure"]
    assert cookie["path"] == "/"
    assert not cookie["domain"]


@pytest.mark.parametrize("origin", [f"http://{HOST}", "https://evil.example"])
def test_a_form_of_another_origin_is_refused(behind_https: Client, origin: str) -> None:
    answer = _log_in(behind_https, origin=origin)

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "csrf_failed"
    assert not User.objects.exists()
