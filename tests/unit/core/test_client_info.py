"""Client info: which header a caller's network address is taken from."""

import pytest
from django.test import RequestFactory

from apps.core.identity.client_info import address_of, client_info_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "1.2.3.4, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.2", " 2001:db8::1 ", "2001:db8::1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4, <script>", "127.0.0.1"),
        ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("", "203.0.113.7", "203.0.113.7"),
        ("", "", None),
    ],
)
def test_the_gateways_entry_counts_and_only_from_a_private_network(
    peer: str, forwarded: str, address: str | None
) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)

    assert address_of(request) == address


def test_a_long_user_agent_is_cut() -> None:
    request = RequestFactory().get("/", HTTP_USER_AGENT="x" * 500)

    assert client_info_of(request).user_agent == "x" * 200
