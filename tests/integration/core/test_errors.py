"""Every error response of every service has the one shape, the request id, and no secret."""

import json

import pytest
from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]


def _error(response: object) -> dict[str, object]:
    body = json.loads(response.content)  # type: ignore[attr-defined]
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "details", "request_id"}
    error: dict[str, object] = body["error"]
    return error


def test_no_token_is_401_in_the_one_shape() -> None:
    response = Client().get("/api/v1/bot")

    assert (response.status_code, _error(response)["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_forged_token_is_401() -> None:
    response = Client().get("/api/v1/bot", headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})
    assert (response.status_code, _error(response)["code"]) == (401, "invalid_token")


def test_an_unknown_address_is_404_in_the_one_shape() -> None:
    response = Client().get("/api/v1/nothing")
    assert (response.status_code, _error(response)["code"]) == (404, "not_found")


def test_the_request_id_of_the_gateway_is_kept() -> None:
    response = Client().get("/api/v1/bot", headers={"X-Request-ID": "abcdef0123456789"})

    assert response["X-Request-ID"] == "abcdef0123456789"
    assert _error(response)["request_id"] == "abcdef0123456789"


@pytest.mark.parametrize("garbage", ["x", "a b c d e f g h", "<script>alert(1)</script>", "y" * 65])
def test_a_malformed_request_id_is_replaced(garbage: str) -> None:
    response = Client().get("/api/v1/bot", headers={"X-Request-ID": garbage})
    assert response["X-Request-ID"] != garbage
