"""Fixture for tests of machine keys: no test sees a key that another one has read."""

from collections.abc import Iterator

import pytest

from apps.core.identity import machine_keys


@pytest.fixture
def machine_keys_read_anew() -> Iterator[None]:
    machine_keys.forget()
    yield
    machine_keys.forget()
