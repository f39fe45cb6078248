"""Many attempts at one account, at once and one after the other."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import requests

from tests.acceptance.bad_input.asking import address, log_in, refused
from tests.support.members import PASSWORD, members


def test_one_address_registered_at_once_in_many_spellings_is_one_account(url: str) -> None:
    """The domain in upper case, composed, decomposed, in punycode, in full-width letters; any case before the @."""
    name = f"ada{uuid4().hex}"
    spellings = [
        f"{name}@bücher.example", f"{name.upper()}@BÜCHER.EXAMPLE", f"{name}@bu\u0308cher.example",
        f"{name.title()}@xn--bcher-kva.example", f"{name}@\uff42\u00fccher.example", f"{name}@bücher\u3002example",
    ]  # fmt: skip

    def register(email: str) -> int:
        body = {"email": email, "password": PASSWORD}
        return requests.post(f"{url}/api/v1/auth/register", json=body, headers=address(), timeout=60).status_code

    with ThreadPoolExecutor(len(spellings)) as pool:
        assert set(pool.map(register, spellings)) == {201}
    assert accounts_with(url, name) == [f"{name}@xn--bcher-kva.example"]


def test_two_domains_that_idna_2008_tells_apart_are_two_accounts(url: str) -> None:
    name = f"ada{uuid4().hex}"
    for domain in ("faß.example", "fass.example"):
        body = {"email": f"{name}@{domain}", "password": PASSWORD}
        assert requests.post(f"{url}/api/v1/auth/register", json=body, headers=address(), timeout=60).status_code == 201
    assert accounts_with(url, name) == [f"{name}@fass.example", f"{name}@xn--fa-hia.example"]


def accounts_with(url: str, name: str) -> list[str]:
    """The addresses of accounts that contain this, as staff see them."""
    staff = {"Authorization": f"Bearer {log_in(url, members().emails['admin']).json()['access']}", **address()}
    found = requests.get(f"{url}/api/v1/user", params={"email": name}, headers=staff, timeout=60).json()["results"]
    return sorted(account["email"] for account in found)


def test_guessing_a_password_is_locked_out_and_its_owner_is_not(url: str) -> None:
    email = members().emails["support"]
    guessing, own = {"X-Forwarded-For": "203.0.113.99"}, {"X-Forwarded-For": "198.51.100.7"}
    answers = [log_in(url, email, "a wrong one", **guessing) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert refused(answers[-1]) == (429, "too_many_attempts")
    assert int(answers[-1].headers["Retry-After"]) > 0
    # With the right one too, from there; and not from elsewhere.
    assert log_in(url, email, **guessing).status_code == 429
    assert log_in(url, email, **own).status_code == 200
