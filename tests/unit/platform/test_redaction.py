"""No secret reaches a log line, under whatever name or inside whatever text."""

import pytest
from django.test import RequestFactory

from apps.core.redaction import MASK, mask_secrets, mask_text, request_line


@pytest.mark.parametrize(
    "name", ["password", "api_secret", "API-Key", "Authorization", "refresh_token", "otp", "api_sign"]
)
def test_values_are_masked_by_their_name(name: str) -> None:
    assert mask_secrets(None, "info", {name: "hunter2", "event": "x"})[name] == MASK


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("amqp://muckard:hunter2@127.0.0.1:5672//", "hunter2"),
        ("Authorization: Bearer eyJhbGciOi.abc.def", "eyJhbGciOi"),
        ('{"api_secret": "hunter2"}', "hunter2"),
        ("nonce=1&api_key=hunter2&pair=XBTUSD", "hunter2"),
        ("password='hunter2' is wrong", "hunter2"),
    ],
)
def test_secrets_inside_text_are_masked(text: str, secret: str) -> None:
    assert secret not in mask_text(text)


def test_other_text_stays_as_it_is() -> None:
    text = "bot.trade.executed price=13798.4 volume=0.01"
    assert mask_text(text) == text


def test_a_request_is_shown_without_its_query_string() -> None:
    request = RequestFactory().get("/api/v1/bot", {"anything": "hunter2"})

    assert request_line(request) == "GET /api/v1/bot"
    assert mask_secrets(None, "info", {"request": request})["request"] == "GET /api/v1/bot"
