"""What is no answer of a browser is refused, and is never an error of the server."""

from typing import Any

import pytest

from tests.factories.accounts import PASSWORD, UserServiceClient
from tests.integration.accounts.passkeys.ceremonies import BASE, STEP_UP, options, refused, step_up
from tests.support.authenticator import SoftwareAuthenticator

pytestmark = pytest.mark.django_db

MALFORMED: list[Any] = [
    {},
    {"id": "x"},
    {"id": "x", "rawId": "x", "type": "public-key", "response": {}},
    {"id": 1, "rawId": [], "type": {}, "response": "x"},
    {
        "id": "eA",
        "rawId": "eA",
        "type": "public-key",
        "response": {
            "clientDataJSON": "bm90IGpzb24",
            "authenticatorData": "",
            "signature": "",
            "attestationObject": "_w",
        },
    },
    {
        "id": "é",
        "rawId": "\u0000",
        "type": "public-key",
        "response": {"clientDataJSON": "W10", "authenticatorData": "é", "signature": "=", "attestationObject": "é"},
    },
]


@pytest.mark.parametrize("credential", MALFORMED)
def test_what_is_no_answer_of_a_browser_is_refused(mine: UserServiceClient, credential: Any) -> None:
    assert refused(UserServiceClient().post(f"{BASE}/login", {"credential": credential}))
    assert refused(mine.post(f"{BASE}/register", {"credential": credential}))
    assert refused(mine.post(STEP_UP, {"passkey": credential}))


@pytest.mark.parametrize("field", ["clientDataJSON", "attestationObject"])
def test_no_cut_registration_is_an_error_of_the_server(
    mine: UserServiceClient, device: SoftwareAuthenticator, field: str
) -> None:
    step_up(mine, password=PASSWORD)
    made = device.create(options(mine, "register"))
    whole = made["response"][field]
    for length in range(0, len(whole), 9):
        made["response"][field] = whole[:length]
        assert refused(mine.post(f"{BASE}/register", {"credential": made}))
