from collections.abc import Iterator

import pytest

from dev.base import profile as profiles
from tests.support.gateway import Gateways


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "LOCAL", tmp_path_factory.mktemp("gateway"))
    made = Gateways()
    yield made
    made.end()
    patch.undo()
