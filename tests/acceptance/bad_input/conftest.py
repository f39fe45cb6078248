import pytest

from tests.acceptance.bad_input.asking import CALLS, Caller, address, log_in
from tests.support.gateway import Gateway
from tests.support.members import members


@pytest.fixture(scope="module")
def url(open_gateway: Gateway) -> str:
    return f"http://127.0.0.1:{open_gateway.profile.ports['gateway']}"


@pytest.fixture(scope="module")
def token(url: str) -> str:
    answer = log_in(url, members().emails["trader"])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access"])


@pytest.fixture(params=sorted(CALLS))
def caller(request: pytest.FixtureRequest, url: str, token: str) -> Caller:
    return Caller(url, CALLS[request.param], {"Authorization": f"Bearer {token}", **address()})
