"""The stack of the chaos tests: made once, when the first of them needs it."""

from collections.abc import Iterator

import pytest

from dev.base.locks import lock
from dev.base.profile import LOCAL
from tests.chaos.services import services
from tests.chaos.stack import Stack
from tests.chaos.visitor import Visitor


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers and processes that nobody else uses. One session at a time: a second one waits."""
    with lock(LOCAL / "chaos.lock", "breaking things"), Stack(tmp_path_factory.mktemp("chaos")) as everything:
        everything.wait_until_idle(60)
        yield everything


@pytest.fixture(scope="session")
def visitor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody who uses the HTTP services of that stack."""
    with services(stack, tmp_path_factory.mktemp("services")) as clients:
        yield Visitor(clients)
