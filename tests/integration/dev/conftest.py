from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateways


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    made = Gateways(tmp_path_factory.mktemp("gateway"))
    yield made
    made.end()
