"""Django's own pages for errors: every project answers in the one shape."""

import json
from importlib import import_module

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import RequestFactory
from django.utils.module_loading import import_string

PROJECTS = ("user_service", "kraken_service", "bot_service", "staff_site", "paper_exchange")


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(400, "malformed", ValueError()), (403, "forbidden", PermissionDenied()), (404, "not_found", Http404())],
)
def test_every_project_has_its_error_pages_in_json(project: str, status: int, code: str, error: Exception) -> None:
    view = import_string(getattr(import_module(f"{project}.urls"), f"handler{status}"))

    answer = view(RequestFactory().get("/", headers={"X-Request-ID": "asked-for-this"}), error)

    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    found = json.loads(answer.content)["error"]
    assert (found["code"], found["request_id"]) == (code, "asked-for-this")


def test_a_form_from_elsewhere_is_refused_in_json() -> None:
    answer = import_string(settings.CSRF_FAILURE_VIEW)(RequestFactory().post("/admin/login/"), reason="Origin checking")

    assert answer.status_code == 403
    assert json.loads(answer.content)["error"]["code"] == "csrf_failed"
