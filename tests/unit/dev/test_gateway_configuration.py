import re
from collections.abc import Callable

import pytest

from dev import gateway
from dev.errors import StackError
from dev.profile import Profile


def test_every_placeholder_of_the_template_gets_a_value(make_profile: Callable[..., Profile]) -> None:
    text = gateway.render(gateway.TEMPLATE.read_text(), gateway.values(make_profile("run"), {}))

    assert "${" not in text
    assert "listen 127.0.0.1:8080 backlog=4096;" in text


def test_a_placeholder_that_nothing_fills_is_refused_by_name() -> None:
    with pytest.raises(StackError, match="asks for UNKNOWN_THING"):
        gateway.render("listen ${UNKNOWN_THING};", {})


def test_only_listed_origins_match() -> None:
    pattern = gateway.cors_pattern("https://app.example.org, http://localhost:3000")

    assert re.search(pattern, "https://app.example.org")
    assert re.search(pattern, "http://localhost:3000")
    assert not re.search(pattern, "https://appXexample.org")
    assert not re.search(pattern, "https://app.example.org.evil.example")
    assert not re.search(gateway.cors_pattern(""), "https://app.example.org")


@pytest.mark.parametrize("origin", ["*", "app.example.org", "https://app.example.org/", 'https://a"b'])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(StackError, match="is no origin"):
        gateway.cors_pattern(origin)


@pytest.mark.parametrize("rate", ["0", "-1", "1.5", "many"])
def test_a_rate_that_is_no_number_is_refused_by_name(make_profile: Callable[..., Profile], rate: str) -> None:
    with pytest.raises(StackError, match="MUCKARD_GATEWAY_RATE"):
        gateway.values(make_profile("run"), {"MUCKARD_GATEWAY_RATE": rate})
