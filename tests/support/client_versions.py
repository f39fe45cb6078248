"""Fixture that runs a test with the checked version of kafka-python, and again as if another version were installed."""

import pytest

from apps.events.brokers.kafka import internals


@pytest.fixture(params=["checked version", "another version"])
def client_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With "another version", every client is built from the public API only."""
    version: str = request.param
    monkeypatch.setattr(internals, "INSTALLED_VERSION", internals.CHECKED_VERSION if "checked" in version else "0.0")
    return version
