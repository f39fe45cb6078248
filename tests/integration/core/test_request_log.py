"""What the log says of a request."""

import logging

import pytest
import structlog
from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]


@pytest.fixture
def formatter() -> logging.Formatter:
    handlers = [handler for handler in logging.getLogger().handlers if handler.formatter]
    return next(h.formatter for h in handlers if isinstance(h.formatter, structlog.stdlib.ProcessorFormatter))


@pytest.mark.parametrize("path", ["/api/v1/bot", "/nowhere", "/health/live"])
def test_no_line_has_the_query_string(
    path: str, caplog: pytest.LogCaptureFixture, formatter: logging.Formatter
) -> None:
    caplog.set_level(logging.INFO)

    Client().get(f"{path}?anything=hunter2&token=swordfish")

    lines = [formatter.format(record) for record in caplog.records]
    assert [line for line in lines if "hunter2" in line or "swordfish" in line] == []
    assert any(path in line for line in lines)


def test_a_request_writes_one_line_of_its_own(caplog: pytest.LogCaptureFixture, formatter: logging.Formatter) -> None:
    caplog.set_level(logging.INFO)

    Client().get("/health/live")

    assert len(caplog.records) == 1
    assert "request_finished" in formatter.format(caplog.records[0])
